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

/// The processes that a process and those after it have started, the parents first.
fn descendants(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        let threads = fs::read_dir(format!("/proc/{parent}/task")).into_iter().flatten().flatten();
        for thread in threads {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children = children.split_whitespace().filter_map(|word| word.parse().ok());
            let new: Vec<u32> = children.filter(|child| !found.contains(child)).collect();
            found.extend(new);
        }
        next += 1;
    }
    found.split_off(1)
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
    // It starts its workers first.
    std::thread::sleep(Duration::from_millis(900));
    let begin = Instant::now();
    let mut compared = 0;
    while begin.elapsed() < PATIENCE && compared < 3 {
        std::thread::sleep(Duration::from_millis(100));
        let family = descendants(followed.pid());
        if family.is_empty() && compared > 0 {
            break;
        }
        // All of them, the parents first: they kill and continue their children.
        let stopped: Vec<_> = family.iter().map(|pid| live::try_stop(*pid)).collect();
        // Not each of a thousand: the first, the last, and one between.
        let chosen = [family.len() / 2, family.len().saturating_sub(1), 1.min(family.len() / 2)];
        for index in chosen {
            let Some(pid) = family.get(index) else { continue };
            // Before its exec it is not followed; what shares its parent's mappings has no table of
            // its own; one that waits for its child's exec does not stop.
            if stopped[index].is_none()
                || live::of_process(*pid).is_empty()
                || live::shares_with_parent(*pid)
                || fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("pmap"))
            {
                continue;
            }
            followed.check(*pid, &format!("{name}, process {pid}"));
            compared += 1;
        }
    }
    for pid in descendants(followed.pid()) {
        // SAFETY: the call takes numbers only; one that is gone needs no end.
        unsafe { libc::kill(pid as i32, libc::SIGKILL) };
    }
    let summary = followed.interrupt_twice();
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
