//! stress-ng's stressors of mappings, stopped again and again and compared.

mod common;
mod live;

use std::fs;
use std::time::{Duration, Instant};

use live::Followed;

/// Those that change one address space.
const ONE: &[&str] = &[
    "mmapmany",
    "mmapaddr",
    "mmapfixed",
    "munmap",
    "brk",
    "mprotect",
    "pkey",
    "mremap",
    "remap",
    "mlock",
    "mlockmany",
    "malloc",
    "madvise",
    "stack",
    "bad-altstack",
    "stackmmap",
];

/// Those that make and share them.
const MANY: &[&str] = &["fork", "vforkmany", "clone", "mmapfork", "memfd", "shm", "shm-sysv"];

/// How long each of them runs.
const SECONDS: u64 = 2;

/// Longer than it takes to compare it three times, or else it is compared less often.
const PATIENCE: Duration = Duration::from_secs(6);

fn descendants(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let children: Vec<u32> = children
        .flat_map(|c| c.split_whitespace().map(|w| w.parse().expect("a PID")).collect::<Vec<_>>())
        .collect();
    let more: Vec<u32> = children.iter().flat_map(|child| descendants(*child)).collect();
    [children, more].concat()
}

/// Runs a stressor under `pmap --follow --children`, stops what is there a few times, compares.
fn stress(name: &str) {
    common::require_root();
    let folder = common::scratch(&format!("stress-{name}"));
    let seconds = SECONDS.to_string();
    let place = folder.display().to_string();
    let stressor = format!("--{name}");
    let words =
        ["stress-ng", "-q", "--temp-path", &place, &stressor, "1", "-t", &seconds, "--oomable"];
    let mut followed = Followed::command_unread(&["--children", "--buffer", "65536"], &words);
    let begin = Instant::now();
    let mut compared = 0;
    while begin.elapsed() < PATIENCE && compared < 3 {
        std::thread::sleep(Duration::from_millis(100));
        let family = descendants(followed.pid());
        if family.is_empty() && compared > 0 {
            break;
        }
        // Not each of a thousand: the first, the last, and one between.
        let chosen = [family.len() / 2, family.len().saturating_sub(1), 1.min(family.len() / 2)];
        for index in chosen {
            let Some(pid) = family.get(index) else { continue };
            let Some(stopped) = live::try_stop(*pid) else { continue };
            // Before its exec it is not followed; what shares its parent's mappings has no table of
            // its own.
            if fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("pmap")) {
                continue;
            }
            if live::of_process(*pid).is_empty() || live::shares_with_parent(*pid) {
                continue;
            }
            followed.check(*pid, &format!("{name}, process {pid}"));
            compared += 1;
            drop(stopped);
        }
    }
    for pid in descendants(followed.pid()) {
        // SAFETY: the call takes numbers only; one that is gone needs no end.
        unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    }
    let summary = followed.finish();
    // An unoptimised pmap may lose some of millions; it must say so, and never be wrong.
    if summary.value["lost"] == 0 {
        summary.assert_clean();
    }
    assert_eq!(summary.value["drift"], 0, "{name}: {}", summary.value);
    assert!(compared > 0, "{name} was never compared");
    eprintln!("{name}: {compared} comparisons, {}", summary.value);
}

/// Check one address space under each stressor.
#[test]
fn of_one_address_space() {
    ONE.iter().for_each(|name| stress(name));
}

/// Check many address spaces under each stressor.
#[test]
fn of_many_address_spaces() {
    MANY.iter().for_each(|name| stress(name));
}
