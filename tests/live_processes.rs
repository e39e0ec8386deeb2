//! Threads, children, new images and the ends of processes.

mod common;
mod live;

use std::fs;
use std::process::Command;
use std::time::Duration;

use common::slowness;
use live::{Followed, Outcome, Pair, Replay, Target, send, stop};

/// The processes that a process has forked and that are still there.
fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().map(|word| word.parse().expect("a PID")).collect()
}

/// Performs a verb, and compares at every quiet point also what the process has forked.
#[track_caller]
fn check_family(pair: &mut Pair, verb: &str) -> usize {
    let Pair { target, followed, .. } = pair;
    let pid = target.pid();
    let mut compared = 0;
    let outcome = target.perform(verb, |when| {
        let mut family = children(pid);
        compared += family.len();
        family.push(pid);
        let _stopped: Vec<_> = family.iter().map(|pid| stop(*pid)).collect();
        for member in family {
            followed.check(member, &format!("{when}, process {member} of {pid}"));
        }
    });
    assert_eq!(outcome, Outcome::Done);
    compared
}

/// Check that threads may start and end, each with its stack.
#[test]
fn threads_start_and_end() {
    let mut pair = Pair::start("threads", &[]);
    pair.check("thread");
    pair.check("storm thread 60");
    pair.finish();
}

/// Check that a process whose first thread has ended is followed on.
#[test]
fn the_first_thread_may_end() {
    let mut pair = Pair::start("first-thread", &[]);
    pair.check("main-exits");
    for verb in ["mmap", "brk", "sysv", "growsdown", "mremap"] {
        pair.check(verb);
    }
    pair.finish();
}

/// Check that a child is followed from its first instruction, where children are.
#[test]
fn children_have_tables_of_their_own() {
    let mut pair = Pair::start("children", &["--children"]);
    assert_eq!(check_family(&mut pair, "fork"), 1);
    assert_eq!(check_family(&mut pair, "vfork"), 1);
    // A child in the same address space has no table of its own.
    pair.check("clone-vm");
    for verb in ["storm fork 40", "storm vfork 40", "storm exec 40", "fork"] {
        check_family(&mut pair, verb);
    }
    pair.target.end();
    let summary = pair.followed.finish();
    summary.assert_clean();
    let count = |op: &str| summary.value["changes"][op].as_u64().unwrap_or(0);
    assert_eq!(count("fork"), 40 + 40 + 1 + 4, "forks of {}", summary.value);
    assert_eq!(count("exec"), 40 + 40 + 1, "execs of {}", summary.value);
    assert_eq!(count("exit"), 40 + 40 + 1 + 4 + 1, "exits of {}", summary.value);
}

/// Check that children are left alone unless they are asked for, and do not disturb.
#[test]
fn children_are_not_followed_unasked() {
    let mut pair = Pair::start("no-children", &[]);
    let pid = pair.target.pid();
    for verb in ["fork", "vfork", "clone-vm", "storm fork 20", "storm vfork 20"] {
        pair.check(verb);
    }
    let summary = pair.finish();
    let own = &summary.changes[0]["space"];
    // Up to 6.15 a process has no address space any more when its exit is told.
    let stranger =
        summary.changes.iter().find(|change| change["space"] != *own && change["pid"] != pid);
    assert_eq!(stranger, None, "a child of {pid} is in the stream");
}

/// Check that exec empties the table and fills it again, as often as it comes.
#[test]
fn exec_begins_anew() {
    let mut pair = Pair::start("exec", &[]);
    for _ in 0..5 {
        pair.check("exec");
        pair.check("brk");
        pair.check("stack");
    }
    let summary = pair.finish();
    assert_eq!(summary.value["changes"]["exec"], 5);
}

/// Check that a command is followed from its first mapping on: the stream alone gives its table.
#[test]
fn a_command_is_followed_from_its_exec() {
    common::require_root();
    let program = common::compile("live", &[]);
    let fifo = common::scratch("command").join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().is_ok_and(|status| status.success()));
    let script = format!("exec {} < {}", program.display(), fifo.display());
    let mut followed = Followed::command(&[], &["sh", "-c", &format!("{script} > /dev/null")]);
    let writer = fs::OpenOptions::new().write(true).open(&fifo).expect("the command reads it");
    // Settled: it waits for its first verb.
    std::thread::sleep(Duration::from_millis(300) * slowness());
    let pid = children(followed.pid())[0];
    let stopped = stop(pid);
    followed.check(pid, "at the start of the command");
    let last = live::of_process(pid);
    drop(stopped);
    drop(writer);
    let summary = followed.finish();
    summary.assert_clean();
    assert_eq!(summary.status, Some(0));
    assert_eq!(summary.changes[0]["op"], "exec");
    let mut replay = Replay::default();
    summary.changes.iter().take_while(|c| c["op"] != "exit").for_each(|c| replay.take(c));
    replay.assert_is(&last);
}

/// Check that several processes are followed at once, and one that ends does not end it.
#[test]
fn several_processes_at_once() {
    common::require_root();
    let folder = common::scratch("several");
    let program = common::compile("live", &[]);
    let mut targets: Vec<_> = (0..3).map(|_| Target::start(&program, &folder)).collect();
    let pids: Vec<String> = targets.iter().map(|target| target.pid().to_string()).collect();
    let mut followed = Followed::process(targets[0].pid(), &[&pids[1], &pids[2]]);
    for verb in ["mprotect", "mremap", "brk"] {
        for target in &mut targets {
            let pid = target.pid();
            let outcome = target.perform(verb, |when| {
                let _stopped = stop(pid);
                followed.check(pid, when);
            });
            assert_eq!(outcome, Outcome::Done);
        }
        targets.pop().expect("there is one for each verb").end();
    }
    let summary = followed.finish();
    summary.assert_clean();
    assert_eq!(summary.value["changes"]["exit"], 3);
}

/// Check that a PID that is used again is another process, which nobody asked to follow.
#[test]
fn a_pid_that_is_used_again_is_not_followed() {
    common::require_root();
    let folder = common::scratch("again");
    let program = common::compile("live", &[]);
    let mut other = Target::start(&program, &folder);
    let first = Target::start(&program, &folder);
    let pid = first.pid();
    let mut followed = Followed::process(other.pid(), &[&pid.to_string()]);
    // Whoever answers has started its threads: none of them takes the number.
    followed.snapshot(other.pid());
    send(libc::SIGKILL, pid);
    drop(first);
    let again = (0..200).find_map(|_| {
        fs::write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()).expect("root may");
        let target = Target::start(&program, &folder);
        (target.pid() == pid).then_some(target)
    });
    let mut again = again.expect("the PID can be had again");
    assert_eq!(again.perform("mmap", |_| {}), Outcome::Done);
    assert!(!followed.has_table(pid), "nobody follows the new process");
    again.end();
    other.end();
    let summary = followed.finish();
    summary.assert_clean();
    assert_eq!(summary.value["changes"], serde_json::json!({"exit": 2}));
}

/// Check that a process is followed from the middle of its busy life without a gap: while it is
/// changing its mappings, the first table and the first records must fit.
#[test]
fn following_begins_in_the_middle_of_a_race() {
    common::require_root();
    let folder = common::scratch("middle");
    let program = common::compile("live", &[]);
    for _ in 0..3 {
        let mut target = Target::start(&program, &folder);
        target.tell(&format!("race 4 {}", 30_000 / slowness()));
        let mut followed = Followed::process(target.pid(), &["--buffer", "65536"]);
        assert_eq!(target.hear(), "done");
        let stopped = stop(target.pid());
        followed.check(target.pid(), "after a race that was joined in its middle");
        drop(stopped);
        target.end();
        followed.finish().assert_clean();
    }
}
