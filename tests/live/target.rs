//! The fixture `live.c` as a process, and stopping processes.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Sends a signal to a process that is there.
#[track_caller]
pub fn send(signal: i32, pid: u32) {
    // SAFETY: the call takes numbers only.
    let result = unsafe { libc::kill(pid as i32, signal) };
    assert_eq!(result, 0, "signal {signal} to {pid}: {}", std::io::Error::last_os_error());
}

/// How a verb went.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// This kernel or machine cannot do it.
    Unavailable(String),
}

/// A running fixture.
pub struct Target {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Target {
    /// Starts the fixture in a folder.
    pub fn start(program: &Path, folder: &Path) -> Self {
        Self::command(Command::new(program).current_dir(folder))
    }

    /// Starts a command that becomes the fixture.
    pub fn command(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
        let mut target = Self { child, stdin, stdout };
        assert_eq!(target.hear(), "ready");
        target
    }

    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets it do something; `quiet` is called at each quiet point, the last one after its end.
    pub fn perform(&mut self, verb: &str, mut quiet: impl FnMut(&str)) -> Outcome {
        self.tell(verb);
        for step in 1.. {
            let heard = self.hear();
            match heard.as_str() {
                "at" => {
                    quiet(&format!("{verb}, quiet point {step}"));
                    self.tell("");
                }
                "done" => {
                    quiet(&format!("{verb}, at its end"));
                    break;
                }
                other => match other.strip_prefix("unavailable ") {
                    Some(why) => return Outcome::Unavailable(why.into()),
                    None => panic!("{verb}: the fixture said {other:?}"),
                },
            }
        }
        Outcome::Done
    }

    /// Tells it something.
    pub fn tell(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("it has not been told to end");
        writeln!(stdin, "{line}").expect("the fixture listens");
    }

    /// What it says next.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("the fixture speaks");
        line.trim_end().into()
    }

    /// Lets it end by itself.
    pub fn end(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn state(pid: u32, tid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/task/{tid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

fn threads(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// A thread that still has the process's mappings: the first one may have ended.
pub fn living_thread(pid: u32) -> Option<u32> {
    let mut threads = threads(pid);
    threads.sort_by_key(|tid| *tid != pid);
    threads.into_iter().find(|tid| state(pid, *tid).is_some_and(|state| !"ZX".contains(state)))
}

/// A process that stands still as long as this lives.
pub struct Stopped(u32);

/// Stops every thread of a process.
#[track_caller]
pub fn stop(pid: u32) -> Stopped {
    stop_within(pid, Duration::from_secs(10)).unwrap_or_else(|| panic!("{pid} does not stop"))
}

/// Stops a process that may be gone, or waits for its child's exec and cannot be stopped.
pub fn try_stop(pid: u32) -> Option<Stopped> {
    stop_within(pid, Duration::from_millis(50))
}

fn stop_within(pid: u32, patience: Duration) -> Option<Stopped> {
    // SAFETY: the call takes numbers only.
    if unsafe { libc::kill(pid as i32, libc::SIGSTOP) } != 0 {
        return None;
    }
    // Goes on again when it is dropped, also where it never stood still.
    let stopped = Stopped(pid);
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if threads(pid).iter().all(|tid| state(pid, *tid).is_none_or(|s| "TtZX".contains(s))) {
            return Some(stopped);
        }
        sleep(Duration::from_millis(1));
    }
    None
}

/// Whether a process uses its parent's address space, as after vfork: `kcmp(2)` tells.
pub fn shares_with_parent(pid: u32) -> bool {
    const KCMP_VM: i32 = 1;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
    let parent: i32 = parent.unwrap_or(0);
    // SAFETY: the call takes numbers only.
    unsafe { libc::syscall(libc::SYS_kcmp, pid as i32, parent, KCMP_VM, 0, 0) == 0 }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // It may have been killed meanwhile.
        // SAFETY: the call takes numbers only.
        unsafe { libc::kill(self.0 as i32, libc::SIGCONT) };
    }
}
