//! The stream beside strace's, of the same short programs: nothing may be missing.

mod common;
mod live;

use std::fs;
use std::process::{Command, Stdio};

use common::{OURS, require_root, scratch};
use serde_json::Value;

/// A successful call: its name, its arguments and its result.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    name: String,
    /// Not told where the thread was kept from returning for long.
    outcome: Option<(Vec<u64>, u64)>,
}

/// Calls that change a mapping whenever these programs make them and they succeed.
const CHANGING: &[&str] = &["mmap", "munmap", "mprotect", "mremap", "shmat", "shmdt", "brk"];

fn number(text: &str) -> u64 {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).expect("a number"),
        None if text == "NULL" => 0,
        None => text.parse::<i64>().map_or(0, i64::cast_unsigned),
    }
}

/// `PID name(arguments) = result` of `strace -f -X raw`.
fn of_strace(line: &str) -> Option<Call> {
    let (_, call) = line.split_once(' ')?;
    let (name, rest) = call.trim_start().split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') || !CHANGING.contains(&name) {
        return None;
    }
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let arguments = arguments.split(',').map(number).collect();
    let result = number(result.split(' ').next()?);
    Some(normal(name, arguments, result))
}

fn of_stream(line: &str) -> Option<Call> {
    let change: Value = serde_json::from_str(line).expect("JSON");
    let name = change["op"].as_str().filter(|op| CHANGING.contains(op))?;
    let text = |value: &Value| number(value.as_str().expect("a number as text"));
    Some(match change["args"].as_array() {
        Some(arguments) => {
            normal(name, arguments.iter().map(text).collect(), text(&change["result"]))
        }
        None => Call { name: name.into(), outcome: None },
    })
}

/// Both print descriptors in their own way, of which 32 bits count.
fn normal(name: &str, mut arguments: Vec<u64>, result: u64) -> Call {
    if name == "mmap" {
        arguments[4] &= 0xffff_ffff;
    }
    Call { name: name.into(), outcome: Some((arguments, result)) }
}

/// Without the breaks that did not move: they change nothing, and the stream does not tell them.
fn changing(calls: impl Iterator<Item = Call>) -> Vec<Call> {
    let mut last = None;
    let moved = |call: &Call| {
        let result = call.outcome.as_ref().map(|(_, result)| *result);
        call.name != "brk" || last.replace(result).is_some_and(|before| before != result)
    };
    calls.filter(moved).collect()
}

/// Checks one program; without address space randomisation both see the same addresses.
fn check(words: &[&str]) {
    require_root();
    let file = scratch(&format!("strace-{}", words[0].replace('/', "-"))).join("calls");
    let run = |tracer: &[&str]| {
        let output = Command::new("setarch")
            .args(["-R", "env", "-i", "LC_ALL=C"])
            .args(tracer)
            .args(words)
            .stdin(Stdio::null())
            .output()
            .expect("setarch is installed");
        assert!(output.status.success(), "{tracer:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let path = file.display().to_string();
    run(&["strace", "-f", "-X", "raw", "-e", "trace=memory", "-o", &path]);
    let theirs = fs::read_to_string(&file).expect("strace wrote it");
    let theirs = changing(theirs.lines().filter_map(of_strace));
    let stream = run(&[OURS, "--follow", "--json", "--children", "--"]);
    let lines = stream.lines().filter(|line| line.starts_with('{'));
    let ours: Vec<Call> = lines.filter_map(of_stream).collect();
    assert!(theirs.len() > 10, "strace saw {theirs:?}");
    for (index, call) in theirs.iter().enumerate() {
        let found = ours.get(index);
        let untold = found.is_some_and(|ours| ours.outcome.is_none() && ours.name == call.name);
        assert!(
            untold || found == Some(call),
            "call {index} of {words:?}: {found:?}, not {call:?}"
        );
    }
    assert_eq!(ours.len(), theirs.len(), "calls of {words:?}");
}

/// Check a program of a few calls.
#[test]
fn of_true() {
    check(&["/bin/true"]);
}

/// Check a program that reads its locale, a folder, and user names. None of these prints anything: that
/// would stand between our lines, and within them.
#[test]
fn of_find() {
    check(&["/usr/bin/find", "/usr/include", "-maxdepth", "1", "-fls", "/dev/null"]);
}

/// Check a program that allocates.
#[test]
fn of_sort() {
    check(&["/usr/bin/sort", "--parallel=1", "/etc/services", "/etc/protocols", "-o", "/dev/null"]);
}
