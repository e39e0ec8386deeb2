//! Threads that change one address space as fast as they can, and a buffer that cannot hold it.

mod common;
mod live;

use common::slowness;
use live::{Pair, send, stop};

/// Rounds of each race that are short enough to repeat.
const ROUNDS: u32 = 4000;

fn race(threads: u32) {
    let mut pair = Pair::start(&format!("race{threads}"), &["--buffer", "65536"]);
    for lap in 0..5 {
        let rounds = ROUNDS / threads / slowness();
        pair.check(&format!("race {threads} {}", rounds + lap));
    }
    let summary = pair.finish();
    // The extent of each of these calls is known. A section of another one was made up: a fault that
    // was refused the lock beside a writer.
    let extent = summary.value["read_again"].get("extent");
    assert!(extent.is_none(), "{}", summary.value);
}

/// Check that two threads lead to no mistake.
#[test]
fn of_two_threads() {
    race(2);
}

/// Check that four threads lead to no mistake.
#[test]
fn of_four_threads() {
    race(4);
}

/// Check that eight threads lead to no mistake.
#[test]
fn of_eight_threads() {
    race(8);
}

/// Check that one thread alone, as fast as it can, leads to no mistake.
#[test]
fn of_one_thread() {
    race(1);
}

/// Check that the table can be had while records come faster than they are told.
#[test]
fn a_flood_does_not_keep_the_table_waiting() {
    let mut pair = Pair::start("flood", &["--buffer", "4096"]);
    let pid = pair.target.pid();
    // Without end, as far as this test goes.
    pair.target.tell("race 4 100000000");
    for _ in 0..3 {
        assert!(!pair.followed.snapshot(pid).is_empty());
    }
    send(libc::SIGKILL, pid);
    let summary = pair.followed.finish();
    assert_eq!(summary.value["drift"], 0, "{}", summary.value);
}

/// Check that what finds no room is counted, said, and put right within a second.
#[test]
fn an_overflow_is_reported_and_heals() {
    let mut pair = Pair::start("overflow", &["--buffer", "4"]);
    for _ in 0..3 {
        pair.check(&format!("storm map {}", 400 / slowness()));
        pair.check(&format!("race 4 {}", 2000 / slowness()));
    }
    let pid = pair.target.pid();
    let stopped = stop(pid);
    pair.followed.check(pid, "after the last storm");
    drop(stopped);
    pair.target.end();
    let summary = pair.followed.finish();
    assert_ne!(summary.value["lost"], 0, "{}", summary.value);
    assert_eq!(summary.value["drift"], 0, "{}", summary.value);
    assert_ne!(summary.value["read_again"]["lost"], 0, "{}", summary.value);
}
