//! What goes wrong, and how it ends: a sentence or a quiet end, the right status, nothing left behind.

mod common;
mod live;

use std::fs::{self, File};
use std::io::Read as _;
use std::os::fd::FromRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::ptr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{OURS, compile, require_root, scratch, slowness};
use live::{Followed, Outcome, Pair, Target, send, tells_calls};

fn run(arguments: &[&str]) -> Output {
    require_root();
    Command::new(OURS).args(arguments).stdin(Stdio::null()).output().expect("pmap starts")
}

fn target(name: &str) -> Target {
    require_root();
    Target::start(&compile("live", &[]), &scratch(name))
}

/// Checks that it ended with a status and one sentence.
#[track_caller]
fn assert_refused(output: &Output, status: i32, sentence: &str) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(status), "{said}");
    assert!(said.contains(sentence), "{said:?} does not say {sentence:?}");
    assert!(said.starts_with("pmap: ") && !said.contains("panicked"), "{said}");
}

/// Waits for the end of a child, but not for long.
#[track_caller]
fn end_of(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("it is our child") {
            return status.code();
        }
        sleep(Duration::from_millis(10));
    }
    let _ = child.kill();
    panic!("it does not end");
}

/// Check that a process that is not there is said to be so, with procps' status.
#[test]
fn no_such_process() {
    assert_refused(&run(&["--follow", "4194303"]), 42, "4194303");
}

/// Check that a kernel thread has nothing to follow.
#[test]
fn a_kernel_thread() {
    assert_refused(&run(&["--follow", "2"]), 1, "kernel thread");
}

/// Check that a zombie has nothing to follow.
#[test]
fn a_zombie() {
    let mut child = Command::new("true").spawn().expect("true starts");
    let state = format!("/proc/{}/stat", child.id());
    while !fs::read_to_string(&state).expect("nobody waited").contains(") Z") {
        sleep(Duration::from_millis(2));
    }
    assert_refused(&run(&["--follow", &child.id().to_string()]), 1, "zombie");
    let _ = child.wait();
}

/// Check that without privileges it says what it needs.
#[test]
fn without_privileges() {
    require_root();
    let folder = scratch("unprivileged");
    let program = common::copy(OURS.as_ref(), &folder);
    // Every folder above must let others through.
    let place = std::env::temp_dir().join(format!("pmap-unprivileged-{}", std::process::id()));
    fs::copy(&program, &place).expect("a copy");
    let output = Command::new(&place)
        .args(["--follow", "1"])
        .uid(65534)
        .gid(65534)
        .stdin(Stdio::null())
        .output()
        .expect("pmap starts");
    let _ = fs::remove_file(&place);
    assert_refused(&output, 1, "root");
    assert_eq!(String::from_utf8_lossy(&output.stderr).lines().count(), 1);
}

/// Check that a command that is not there, or cannot be run, gives the status of a shell.
#[test]
fn a_command_that_cannot_be_run() {
    assert_refused(&run(&["--follow", "--", "/no/such/program"]), 127, "/no/such/program");
    assert_refused(&run(&["--follow", "--", "/etc/passwd"]), 126, "/etc/passwd");
}

/// Check that the command's status is ours.
#[test]
fn the_status_of_a_command() {
    let status = |script| run(&["--follow", "--", "sh", "-c", script]).status.code();
    assert_eq!(status("exit 0"), Some(0));
    assert_eq!(status("exit 7"), Some(7));
    assert_eq!(status("kill -9 $$"), Some(128 + 9));
}

/// Check that the status is the command's, though its children end after it.
#[test]
fn the_status_of_a_command_before_its_children() {
    let words = ["--follow", "--children", "--", "sh", "-c", "sleep 1 & exit 7"];
    let begin = Instant::now();
    assert_eq!(run(&words).status.code(), Some(7));
    assert!(begin.elapsed() > Duration::from_secs(1), "the child was followed to its end");
}

/// Check that one signal is enough once the command has ended, whatever its children do.
#[test]
fn interrupted_after_its_command() {
    require_root();
    let words = ["sh", "-c", "sleep 1000 & exit 7"];
    let mut followed = Followed::command(&["--children"], &words);
    while followed.wait(Duration::from_secs(20)).expect("the command ends") != "exit" {}
    let summary = followed.interrupt();
    assert_eq!(summary.status, Some(7));
    let child = summary.changes.iter().find(|change| change["op"] == "fork").expect("a fork");
    send(libc::SIGKILL, child["child"].as_u64().expect("a PID") as u32);
}

/// Check that a reader that goes away ends us quietly.
#[test]
fn a_closed_pipe() {
    let mut target = target("pipe");
    let mut child = Command::new(OURS)
        .args(["--follow", "--table", &target.pid().to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pmap starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0; 16]).expect("the table");
    drop(stdout);
    assert_eq!(target.perform("mprotect", |_| {}), Outcome::Done);
    end_of(&mut child);
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    assert_eq!(said, "");
}

/// Check that a full disk is said, with a status that tells.
#[test]
fn a_full_disk() {
    let target = target("full");
    let full = File::options().write(true).open("/dev/full").expect("it is there");
    let output = Command::new(OURS)
        .args(["--follow", "--table", &target.pid().to_string()])
        .stdout(full)
        .output()
        .expect("pmap starts");
    assert_refused(&output, 1, "No space left on device");
}

/// Check that SIGINT and SIGTERM end it with a summary and status 0.
#[test]
fn signals_end_it_with_a_summary() {
    let mut target = target("signals");
    for signal in [libc::SIGINT, libc::SIGTERM] {
        let followed = Followed::process(target.pid(), &[]);
        // What it does must outlast it: some kernels are read again only afterwards.
        assert_eq!(target.perform("mprotect", |_| {}), Outcome::Done);
        send(signal, followed.pid());
        let summary = followed.finish();
        summary.assert_clean();
        assert_eq!(summary.status, Some(0));
        let told = if tells_calls() { "mprotect" } else { "reread" };
        assert!(summary.value["changes"][told].as_u64() > Some(0), "{}", summary.value);
    }
}

/// Check that being stopped and continued while the programs are loaded does no harm: the verifier
/// gives up for a signal.
#[test]
fn stopped_at_its_start() {
    let mut target = target("stopped");
    let mut ours = Command::new(OURS)
        .args(["--follow", &target.pid().to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pmap starts");
    for _ in 0..200 {
        send(libc::SIGSTOP, ours.id());
        sleep(Duration::from_micros(500));
        send(libc::SIGCONT, ours.id());
        sleep(Duration::from_millis(2));
    }
    let mut first = [0];
    let mut lines = ours.stdout.take().expect("a pipe");
    // Whenever it is ready.
    let done = std::thread::spawn(move || lines.read_exact(&mut first).is_ok());
    while !done.is_finished() && matches!(ours.try_wait(), Ok(None)) {
        assert_eq!(target.perform("mmap", |_| {}), Outcome::Done);
        // Where nothing can be read inside a section, a change is told once nothing else changes.
        sleep(Duration::from_millis(200));
    }
    let told = done.join().is_ok_and(|read| read);
    let _ = ours.kill();
    let _ = ours.wait();
    let mut said = String::new();
    let _ = ours.stderr.take().expect("a pipe").read_to_string(&mut said);
    assert!(told, "it ended before it told a change: {said}");
}

/// Check that a process that is killed is told to have been, and ends the following.
#[test]
fn the_end_of_the_process() {
    let target = target("killed");
    let followed = Followed::process(target.pid(), &[]);
    send(libc::SIGKILL, target.pid());
    let summary = followed.finish();
    summary.assert_clean();
    let exit = summary.changes.iter().find(|change| change["op"] == "exit").expect("an exit");
    assert_eq!(exit["signal"], 9, "{exit}");
}

/// Check that failed calls are told where they are asked for, with their error, and not else.
#[test]
fn failed_calls() {
    let failed = |options: &[&str]| {
        let mut pair = Pair::start("failed", options);
        pair.check("munmap");
        let summary = pair.finish();
        summary.changes.iter().filter(|change| change["errno"] == "EINVAL").count()
    };
    assert_eq!(failed(&[]), 0);
    // An address that is no page's, and a length of nothing.
    assert_eq!(failed(&["--failed"]), 2);
}

/// Check that only the privilege that is still needed is kept, and nothing can be gained.
#[test]
fn privileges_are_dropped() {
    let target = target("privileges");
    let followed = Followed::process(target.pid(), &[]);
    let status = fs::read_to_string(format!("/proc/{}/status", followed.pid())).expect("it runs");
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect(key);
        u64::from_str_radix(line.trim_start_matches(':').trim(), 16).expect("a number")
    };
    assert_eq!(value("CapEff") & !(1 << 19), 0, "more than CAP_SYS_PTRACE");
    assert_eq!(value("CapPrm") & !(1 << 19), 0, "more than CAP_SYS_PTRACE");
    assert_eq!(value("NoNewPrivs"), 1);
}

/// A new terminal: what is shown on it, and the end for a program.
fn terminal() -> (File, File) {
    let (mut shown, mut terminal) = (0, 0);
    // SAFETY: the call fills in two descriptors, which are ours from then on.
    unsafe {
        let name = ptr::null_mut();
        let made = libc::openpty(&raw mut shown, &raw mut terminal, name, ptr::null(), ptr::null());
        assert_eq!(made, 0, "a terminal can be had");
        (File::from_raw_fd(shown), File::from_raw_fd(terminal))
    }
}

/// Check that colour is for terminals, unless it is asked for, and never where NO_COLOR is set.
#[test]
fn colour() {
    require_root();
    let coloured = |options: &[&str], no_color: Option<&str>| {
        let (mut shown, terminal) = terminal();
        let mut command = Command::new(OURS);
        command.args([&["--follow"], options, &["--", "true"]].concat()).env_remove("NO_COLOR");
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        let status = command.stdin(Stdio::null()).stdout(terminal).status().expect("pmap starts");
        assert!(status.success());
        drop(command);
        let mut text = Vec::new();
        // Its other end is closed: that is told as an error, after the text.
        let _ = shown.read_to_end(&mut text);
        assert!(!text.is_empty());
        text.contains(&0x1b)
    };
    assert!(coloured(&[], None), "a terminal");
    assert!(!coloured(&[], Some("1")), "a terminal, and NO_COLOR");
    assert!(!coloured(&["--color", "never"], None));
    let piped = |options: &[&str]| {
        run(&[&["--follow"], options, &["--", "true"]].concat()).stdout.contains(&0x1b)
    };
    assert!(!piped(&[]), "a pipe");
    assert!(piped(&["--color", "always"]), "a pipe, and colour asked for");
}

/// Check that lines come as things happen, also through a pipe.
#[test]
fn lines_are_not_held_back() {
    let mut pair = Pair::start("flushed", &[]);
    assert_eq!(pair.target.perform("mprotect", |_| {}), Outcome::Done);
    let (begin, patience) = (Instant::now(), Duration::from_secs(1) * slowness());
    while pair.followed.changes.is_empty() && begin.elapsed() < patience {
        pair.followed.wait(Duration::from_millis(10));
    }
    assert!(begin.elapsed() < patience, "there was no line for {patience:?}");
}

/// Check that inside a PID namespace processes have the numbers that they have there.
#[test]
fn inside_a_pid_namespace() {
    require_root();
    let script = format!("{OURS} --follow --json -- sh -c 'echo $$ >&2; exit 3'; exit $?");
    let output = Command::new("unshare")
        .args(["-pf", "--mount-proc", "sh", "-c", &script])
        .stdin(Stdio::null())
        .process_group(0)
        .output()
        .expect("unshare is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    let stream = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(3), "{said}");
    let pid: u32 = said.trim().parse().unwrap_or_else(|_| panic!("{said}"));
    let first: serde_json::Value =
        serde_json::from_str(stream.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["pid"], pid, "{first}");
    let last: serde_json::Value =
        serde_json::from_str(stream.lines().last().expect("a line")).expect("JSON");
    assert_eq!(
        (&last["type"], &last["lost"], &last["drift"]),
        (&"summary".into(), &0.into(), &0.into())
    );
}
