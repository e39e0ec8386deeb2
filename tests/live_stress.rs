//! stress-ng's stressors of mappings, stopped again and again and compared.

mod common;
mod live;

use std::fs;
use std::sync::Mutex;
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

/// Those that make and share them, with limits where they would make thousands.
const MANY: &[&str] = &["fork", "vfork", "clone --clone-max 64", "memfd", "shm", "shm-sysv"];

/// One stressor at a time: two keep each other from being stopped and looked at.
static ALONE: Mutex<()> = Mutex::new(());

/// How long each of them runs.
const SECONDS: u64 = 2;

/// Longer than pmap takes to start.
const START: Duration = Duration::from_secs(60);

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

/// Whether a process has not executed anything yet.
fn is_ours(pid: u32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe.ends_with("pmap"))
}

/// Runs a stressor under `pmap --follow --children`, stops what is there a few times, compares.
fn stress(words: &str) {
    common::require_root();
    let _alone = ALONE.lock();
    let (name, limit) = words.split_once(' ').unwrap_or((words, ""));
    let folder = common::scratch(&format!("stress-{name}"));
    let seconds = SECONDS.to_string();
    let place = folder.display().to_string();
    let stressor = format!("--{name}");
    let mut words =
        vec!["stress-ng", "-q", "--temp-path", &place, &stressor, "1", "-t", &seconds, "--oomable"];
    words.extend(limit.split_whitespace());
    let mut followed = Followed::command_unread(&["--children", "--buffer", "65536"], &words);
    // On a machine this busy it takes a while until the stressor is started, and then its workers.
    let begin = Instant::now();
    while begin.elapsed() < START && !descendants(followed.pid()).iter().any(|pid| !is_ours(*pid)) {
        std::thread::sleep(Duration::from_millis(50));
    }
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
                || is_ours(*pid)
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
    let summary = followed.interrupt_to_the_end();
    // On a busy machine it may lose some of millions; it must say so, and never be wrong.
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
