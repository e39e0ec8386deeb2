//! `pmap --follow --json` as a process: its lines as they come, snapshots on demand, and its end.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Seek as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{Mapping, maps, send};
use crate::common::{OURS, slowness};

/// Longer than anything may take.
const LONG: Duration = Duration::from_secs(60);

const FOLLOW: &[&str] = &["--follow", "--json", "--table"];

/// A live table as it was printed.
#[derive(Default)]
struct Listing {
    mappings: Vec<Mapping>,
    /// Whether it claims to be the kernel's.
    is_sure: bool,
}

/// A running `pmap --follow --json`.
pub struct Followed {
    child: Child,
    errors: File,
    lines: Receiver<Value>,
    /// Every change so far, in order.
    pub changes: Vec<Value>,
    /// The table that it started from.
    pub first: Vec<Mapping>,
    summary: Option<Value>,
    /// What differed at first and was put right by the program itself.
    healed: Vec<String>,
    /// Whether several processes may be followed.
    family: bool,
    /// Changes that were looked at for defects.
    judged: usize,
}

impl Followed {
    /// Follows a process, and returns once it is followed.
    pub fn process(pid: u32, options: &[&str]) -> Self {
        let mut followed =
            Self::spawn(Command::new(OURS).args(FOLLOW).args(options).arg(pid.to_string()));
        let first = followed.wait_for_snapshot(pid, LONG);
        followed.first = first.expect("the table at the start").mappings;
        followed
    }

    /// Starts a command and follows it.
    pub fn command(options: &[&str], words: &[&str]) -> Self {
        Self::spawn(Command::new(OURS).args(FOLLOW).args(options).arg("--").args(words))
    }

    /// The same, where there are too many changes to look at each.
    pub fn command_unread(options: &[&str], words: &[&str]) -> Self {
        let mut command = Command::new(OURS);
        Self::spawn_reading(command.args(FOLLOW).args(options).arg("--").args(words), false)
    }

    fn spawn(command: &mut Command) -> Self {
        Self::spawn_reading(command, true)
    }

    fn spawn_reading(command: &mut Command, changes: bool) -> Self {
        // A file, not a pipe: a command that is followed writes there too, and may outlive us.
        let errors = unnamed_file();
        let family = command.get_args().any(|word| word == "--children");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors.try_clone().expect("a file can be shared"))
            .spawn()
            .expect("pmap starts");
        let mut output = BufReader::with_capacity(1 << 20, child.stdout.take().expect("a pipe"));
        let (sink, lines) = channel();
        thread::spawn(move || {
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let skip = !changes && line.starts_with(br#"{"schema":"pmap/1","type":"change""#);
                if skip || !line.starts_with(b"{") {
                    line.clear();
                    continue;
                }
                let value = serde_json::from_slice(&line);
                let value = value.unwrap_or_else(|e| panic!("{e}: {}", line.escape_ascii()));
                if sink.send(value).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Self {
            child,
            errors,
            lines,
            changes: Vec::new(),
            first: Vec::new(),
            summary: None,
            healed: Vec::new(),
            family,
            judged: 0,
        }
    }

    /// Its PID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Takes in a line; gives it back where it is a snapshot.
    fn take(&mut self, line: Value) -> Option<Value> {
        match line["type"].as_str() {
            Some("change") => self.changes.push(line),
            Some("summary") => self.summary = Some(line),
            Some("snapshot") => return Some(line),
            _ => panic!("a line of no known type: {line}"),
        }
        None
    }

    fn wait_for_snapshot(&mut self, pid: u32, patience: Duration) -> Option<Listing> {
        let deadline = Instant::now() + patience;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = match self.lines.recv_timeout(left) {
                Ok(line) => line,
                Err(RecvTimeoutError::Timeout) => return None,
                Err(RecvTimeoutError::Disconnected) => self.fail("ended early"),
            };
            if let Some(snapshot) = self.take(line)
                && snapshot["pid"] == pid
            {
                let mappings = snapshot["mappings"].as_array().expect("a list of mappings");
                let live = &snapshot["live"];
                return Some(Listing {
                    mappings: mappings.iter().map(Mapping::of_json).collect(),
                    is_sure: live["behind"] == 0 && live["in_doubt"] == false,
                });
            }
        }
    }

    /// Whether there is a live table of a process.
    pub fn has_table(&mut self, pid: u32) -> bool {
        send(libc::SIGUSR1, self.pid());
        self.wait_for_snapshot(pid, Duration::from_secs(1) * slowness()).is_some()
    }

    /// The live table of one process, asked for with SIGUSR1; empty where there is none.
    pub fn snapshot(&mut self, pid: u32) -> Vec<Mapping> {
        self.listing(pid).mappings
    }

    fn listing(&mut self, pid: u32) -> Listing {
        // What was asked for before, of other processes, comes first: it is written at one go.
        let pause = if self.family { 100 } else { 0 };
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(pause)) {
            self.take(line);
        }
        send(libc::SIGUSR1, self.pid());
        self.wait_for_snapshot(pid, LONG).unwrap_or_default()
    }

    /// Checks that the live table of a stopped process is the kernel's. What it says that it does not
    /// know yet it may still learn, for a while; and what the program itself finds to be wrong it may
    /// read again, for a second: that it had to is in the summary.
    #[track_caller]
    pub fn check(&mut self, pid: u32, when: &str) {
        let kernel = super::of_process(pid);
        let mut ours = self.listing(pid);
        let begin = Instant::now();
        while !ours.is_sure && begin.elapsed() < LONG {
            ours = self.listing(pid);
        }
        // From here: before that it had records to take in.
        let deadline = Instant::now() + Duration::from_secs(1) * slowness();
        let mut first = None;
        while let Some(difference) = maps::difference(&ours.mappings, &kernel) {
            if Instant::now() > deadline {
                let last = self.changes.last().map(Value::to_string).unwrap_or_default();
                let when = format!("{when} (last change: {last:.600})");
                maps::assert_same(&ours.mappings, &kernel, &when);
            }
            first.get_or_insert_with(|| format!("{when}: at first\n{difference}"));
            ours = self.listing(pid);
        }
        self.healed.extend(first);
        // A defect, though the program noticed and put it right.
        let defect = |change: &Value| change["op"] == "reread" && change["reason"] == "counters";
        if let Some(change) = self.changes.iter().skip(self.judged).find(|c| defect(c)) {
            self.healed.push(format!("{when}: {change}\n"));
        }
        self.judged = self.changes.len();
    }

    /// Takes in a line, if one comes in a while, and gives back its operation.
    pub fn wait(&mut self, patience: Duration) -> Option<String> {
        let line = self.lines.recv_timeout(patience).ok()?;
        let op = line["op"].as_str().unwrap_or_default().to_owned();
        self.take(line);
        Some(op)
    }

    /// Waits until it ends by itself.
    #[track_caller]
    pub fn finish(mut self) -> Summary {
        // The summary comes last; the pipe may be held by what it has started.
        while self.summary.is_none() {
            match self.lines.recv_timeout(LONG) {
                Ok(line) => drop(self.take(line)),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => self.fail("does not end"),
            }
        }
        let Some(value) = self.summary.take() else { self.fail("ended without a summary") };
        let status = self.child.wait().expect("it is our child");
        Summary {
            value,
            status: status.code(),
            changes: std::mem::take(&mut self.changes),
            healed: std::mem::take(&mut self.healed),
        }
    }

    /// Interrupts it, and waits for its end.
    #[track_caller]
    pub fn interrupt(self) -> Summary {
        send(libc::SIGINT, self.pid());
        self.finish()
    }

    /// Interrupts it as often as it takes: the first one is for its command, and two that come
    /// while it is busy are one.
    #[track_caller]
    pub fn interrupt_to_the_end(mut self) -> Summary {
        let begin = Instant::now();
        while begin.elapsed() < LONG && matches!(self.child.try_wait(), Ok(None)) {
            send(libc::SIGINT, self.pid());
            thread::sleep(Duration::from_millis(100));
        }
        self.finish()
    }

    #[track_caller]
    fn fail(&mut self, how: &str) -> ! {
        let _ = self.child.kill();
        let mut said = String::new();
        let _ = self.errors.rewind();
        let _ = self.errors.read_to_string(&mut said);
        panic!("pmap {how}: {said}");
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unnamed_file() -> File {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let path = format!("{}/errors-{}-{number}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path);
    let file = file.unwrap_or_else(|error| panic!("{path}: {error}"));
    let _ = fs::remove_file(path);
    file
}

/// How it ended.
pub struct Summary {
    pub value: Value,
    pub status: Option<i32>,
    pub changes: Vec<Value>,
    healed: Vec<String>,
}

impl Summary {
    /// Checks that nothing was lost, guessed, or found to be wrong.
    #[track_caller]
    pub fn assert_clean(&self) {
        let Self { value, healed, .. } = self;
        for key in ["lost", "drift", "unknown_records"] {
            assert_eq!(value[key], 0, "{key} of {value}\n{}", healed.concat());
        }
        for reason in ["lost", "counters", "drift"] {
            let count = value["read_again"].get(reason);
            assert!(count.is_none(), "read again ({reason}) in {value}\n{}", healed.concat());
        }
    }
}
