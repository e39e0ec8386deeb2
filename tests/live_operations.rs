//! Every operation that changes mappings, each compared with `/proc/PID/maps` of the stopped process.

mod common;
mod live;

use std::panic::{AssertUnwindSafe, catch_unwind};

use live::{Outcome, Pair};

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

/// Each operation in a process of its own, so that a failure names it.
fn each(width: &str, flags: &[&str]) {
    let mut failed = Vec::new();
    for verb in ALWAYS.iter().chain(SOMETIMES) {
        let attempt = || {
            let mut pair = Pair::start_with(&format!("{verb}{width}"), flags, &[]);
            match pair.perform(verb) {
                Outcome::Done => drop(pair.finish()),
                Outcome::Unavailable(why) => {
                    assert!(!ALWAYS.contains(verb), "{verb} is not possible here: {why}");
                    eprintln!("{verb} is not tried here: {why}");
                }
            }
        };
        if catch_unwind(AssertUnwindSafe(attempt)).is_err() {
            failed.push(verb);
        }
    }
    assert!(failed.is_empty(), "these failed, see above: {failed:?}");
}

/// All of them in one process, which does not begin anew in between.
fn together(width: &str, flags: &[&str]) {
    let mut pair = Pair::start_with(&format!("together{width}"), flags, &[]);
    for verb in ALWAYS.iter().chain(SOMETIMES) {
        pair.perform(verb);
    }
    let summary = pair.finish();
    for op in ["mmap", "munmap", "brk", "mprotect", "mremap", "shmat", "shmdt", "stack", "exec"] {
        assert!(summary.value["changes"].get(op).is_some(), "{op} of {}", summary.value);
    }
}

/// Check each operation of a 64-bit program.
#[test]
fn each_of_a_64_bit_program() {
    each("64", &[]);
}

/// Check each operation of a 32-bit program.
#[test]
fn each_of_a_32_bit_program() {
    each("32", &["-m32"]);
}

/// Check that one operation after another leads to no mistake either.
#[test]
fn all_of_a_64_bit_program() {
    together("64", &[]);
}

/// Check the same of a 32-bit program.
#[test]
fn all_of_a_32_bit_program() {
    together("32", &["-m32"]);
}
