//! Threads that change one address space as fast as they can, and a buffer that cannot hold it.

mod common;
mod live;

use std::thread::sleep;
use std::time::{Duration, Instant};

use pmap_user::kernel::{Options, Reader, Tracer};
use pmap_user::live::{Engine, Healing, Reason, Remedy, Space};
use pmap_user::proc::kernel_release;

use common::{compile, require_root, scratch, slowness};
use live::{Pair, Target, send, stop};

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

/// Check that a doubt ends within a second while eight threads write: who writes is asked, and not read
/// mapping by mapping, each with a wait for all writers.
#[test]
fn a_doubt_ends_beside_eight_writers() {
    require_root();
    let mut target = Target::start(&compile("live", &[]), &scratch("doubt"));
    let pid = target.pid();
    let options = Options { ring_bytes: 64 << 20, ..Options::of_release(kernel_release()) };
    let mut tracer = Tracer::start(options).expect("it starts");
    let versions = tracer.versions();
    let (mut engine, mut healing) = (Engine::default(), Healing::default());
    let entries = tracer.follow(pid, false).expect("it can be followed");
    let id = engine.read(pid, entries).expect("it has mappings");
    if tracer.reader() == Reader::None {
        eprintln!("nothing can be read inside a section here, so that each is a doubt of its own");
        return;
    }
    target.tell("race 8 100000000");
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    for doubts in 0..=10 {
        sleep(Duration::from_millis(50));
        // At first it has yet to begin.
        if doubts > 0 {
            engine.doubt(id, Reason::Drift);
        }
        let begin = Instant::now();
        while !engine.space(id).is_some_and(Space::is_sure) {
            let mut left = 1 << 14;
            tracer.drain(|record| {
                engine.record(&record, &mut Vec::new());
                left -= 1;
                left > 0
            });
            let now = start.elapsed().as_nanos() as u64;
            let version = |space: &Space| versions.get(space.key, space.id);
            for remedy in healing.remedies(&engine, now, true, version) {
                match remedy {
                    Remedy::Ask(key) => tracer.ask(key).expect("it can be asked"),
                    Remedy::Read { owner, .. } => {
                        let entries = tracer.read(owner).expect("it can be read");
                        engine.read(owner, entries);
                        healing.spent(start.elapsed().as_nanos() as u64, 0);
                    }
                }
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "it stays in doubt");
        }
        slowest = slowest.max(begin.elapsed());
    }
    send(libc::SIGKILL, pid);
    eprintln!("the slowest of ten doubts ended after {slowest:?}");
    assert!(slowest < Duration::from_secs(u64::from(slowness())), "{slowest:?}");
    let rereads = engine.totals().rereads;
    assert_eq!(rereads.get(&Reason::Drift), Some(&10), "{rereads:?}");
}
