//! Every operation that changes mappings, each compared with `/proc/PID/maps` of the stopped process.

mod common;
mod live;

use live::{Outcome, Pair, tells_calls};

/// What every kernel that is supported can do.
const ALWAYS: &[&str] = &[
    "mmap",
    "low",
    "munmap",
    "brk",
    "mprotect",
    "pkey",
    "mremap",
    "remap_file_pages",
    "madvise",
    "mlock",
    "sysv",
    "posix",
    "names",
    "growsdown",
    "stack",
    "exec",
];

/// What some kernels cannot do.
const SOMETIMES: &[&str] = &[
    "dontunmap",
    "mremap-many",
    "process_madvise",
    "mbind",
    "prctl",
    "userfaultfd",
    "io_setup",
    "mseal",
    "old-calls",
    "set-mm",
];

/// Every operation, one after the other in one process.
fn all(width: &str, flags: &[&str]) {
    let mut pair = Pair::start_with(&format!("operations{width}"), flags, &[]);
    for verb in ALWAYS.iter().chain(SOMETIMES) {
        if let Outcome::Unavailable(why) = pair.perform(verb) {
            assert!(!ALWAYS.contains(verb), "{verb} is not possible here: {why}");
            eprintln!("{verb} is not tried here: {why}");
        }
    }
    let summary = pair.finish();
    let calls = ["mmap", "munmap", "brk", "mprotect", "mremap", "stack", "exec"];
    let told = if tells_calls() { &calls[..] } else { &["reread", "exec"] };
    for op in told {
        assert!(summary.value["changes"].get(op).is_some(), "{op} of {}", summary.value);
    }
}

/// Check every operation of a 64-bit program.
#[test]
fn all_of_a_64_bit_program() {
    all("64", &[]);
}

/// Check every operation of a 32-bit program.
#[test]
fn all_of_a_32_bit_program() {
    all("32", &["-m32"]);
}
