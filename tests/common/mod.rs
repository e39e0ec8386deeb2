//! What the tests share: fixtures that are compiled once, processes that end with their test, and
//! programs run side by side.

#![allow(unreachable_pub, reason = "a module of several test programs")]
#![allow(dead_code, reason = "each test program uses its own part of this")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Our program.
pub const OURS: &str = env!("CARGO_BIN_EXE_pmap");

/// The judge.
pub const PROCPS: &str = "/usr/bin/pmap";

/// An empty folder for one caller. What an earlier run of this test program left is removed first.
pub fn scratch(name: &str) -> PathBuf {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let root = ROOT.get_or_init(|| {
        let program = std::env::current_exe().expect("/proc is mounted");
        let program = program.file_stem().unwrap_or_default().to_owned();
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program);
        let _ = fs::remove_dir_all(&root);
        root
    });
    let path = root.join(format!("{name}-{}", COUNT.fetch_add(1, Relaxed)));
    fs::create_dir_all(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// How many times slower than usual this machine is: `PMAP_TEST_SLOWNESS`, for one that is emulated.
/// Patience is multiplied by it, and the work of the longest tests divided.
pub fn slowness() -> u32 {
    let told = std::env::var("PMAP_TEST_SLOWNESS").ok();
    told.map_or(1, |told| told.parse().expect("PMAP_TEST_SLOWNESS is a number"))
}

/// Compiles `tests/fixtures/NAME.c` with `cc` and more flags, once for all tests.
///
/// Where there is no compiler, the variable `PMAP_TEST_FIXTURES` names a folder that has the programs
/// ready, each called by its name and flags: `live`, `live-m32`.
pub fn compile(name: &str, flags: &[&str]) -> PathBuf {
    let program = format!("{name}{}", flags.concat());
    if let Some(folder) = std::env::var_os("PMAP_TEST_FIXTURES") {
        return Path::new(&folder).join(program);
    }
    static COMPILER: Mutex<()> = Mutex::new(());
    let _one_at_a_time = COMPILER.lock();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../tests/fixtures/{name}.c"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join(program);
    let age = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified()).ok();
    if age(&target).is_some_and(|built| Some(built) > age(&source)) {
        return target;
    }
    // Another test program may be at the same: the finished file is moved into place.
    let partial = target.with_extension(format!("part{}", std::process::id()));
    let status = Command::new("cc")
        .args(["-O1", "-Wall", "-pthread", "-o"])
        .arg(&partial)
        .args(flags)
        .arg(&source)
        .status()
        .expect("cc is installed");
    assert!(status.success(), "cc {} {}", flags.join(" "), source.display());
    fs::rename(&partial, &target).expect("the fixture is moved into place");
    target
}

/// Copies a program into a folder. The copy is another process's work: were it ours, a test that forks in
/// that moment would keep the new file open for writing, and it could not be run.
pub fn copy(program: &Path, folder: &Path) -> PathBuf {
    let status = Command::new("cp").arg(program).arg(folder).status();
    assert!(status.is_ok_and(|status| status.success()), "cp {}", program.display());
    folder.join(program.file_name().expect("it is a file"))
}

/// A process that ends with the test.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    /// The process to look at; a child of it where the fixture says so.
    pub pid: u32,
}

impl Running {
    /// Starts a fixture in a folder and waits until it says that it is ready; then stops it.
    pub fn fixture(program: &Path, folder: &Path, arguments: &[&OsStr]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdout(Stdio::piped());
        let mut running = Self::start(&mut command);
        let stdout = running.child.stdout.take().expect("standard output is a pipe");
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line).expect("the fixture speaks");
        let pid = line.trim().strip_prefix("ready ").and_then(|pid| pid.parse().ok());
        running.pid = pid.unwrap_or_else(|| panic!("{} said {line:?}", program.display()));
        running.stop();
        running
    }

    /// Starts a program and lets it run until it waits; then stops it.
    pub fn program(command: &mut Command) -> Self {
        let running = Self::start(command.stdout(Stdio::null()).stderr(Stdio::null()));
        // Settled: the same mappings for a while, after it has become itself.
        let mut last = (Vec::new(), Instant::now());
        let deadline = Instant::now() + Duration::from_secs(10);
        while last.1.elapsed() < Duration::from_millis(200) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
            let maps = fs::read(format!("/proc/{}/maps", running.pid)).unwrap_or_default();
            if maps != last.0 {
                last = (maps, Instant::now());
            }
        }
        running.stop();
        running
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()));
        Self { stdin: child.stdin.take(), pid: child.id(), child }
    }

    /// Stops every thread of it.
    fn stop(&self) {
        let pid = self.child.id();
        signal("STOP", pid);
        for _ in 0..500 {
            let stat = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            if stat.contains("State:\tT") || stat.contains("State:\tZ") {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        panic!("process {pid} does not stop");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal.
pub fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}

/// What a program printed, and how it ended.
#[derive(Clone, PartialEq, Eq)]
pub struct Printed {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    /// The exit status, or 128 and the signal.
    pub status: i32,
}

impl From<Output> for Printed {
    fn from(output: Output) -> Self {
        let status = output.status.code().or(output.status.signal().map(|signal| 128 + signal));
        Self { stdout: output.stdout, stderr: output.stderr, status: status.unwrap_or(-1) }
    }
}

impl Printed {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// A command line to be run with several programs.
#[derive(Clone, Default)]
pub struct Line {
    arguments: Vec<OsString>,
    environment: Vec<(OsString, Option<OsString>)>,
    folder: Option<PathBuf>,
}

impl Line {
    /// From words.
    pub fn new<S: AsRef<OsStr>>(arguments: &[S]) -> Self {
        let arguments = arguments.iter().map(|word| word.as_ref().to_owned()).collect();
        Self { arguments, ..Self::default() }
    }

    /// From words apart by blanks, with `PID` in place of a process id.
    pub fn with_pid(words: &str, pid: u32) -> Self {
        let words: Vec<_> =
            words.split_whitespace().map(|word| word.replace("PID", &pid.to_string())).collect();
        Self::new(&words)
    }

    /// With an environment variable set, or removed.
    pub fn env(mut self, name: &str, value: Option<&OsStr>) -> Self {
        self.environment.push((name.into(), value.map(OsStr::to_owned)));
        self
    }

    /// In a folder.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Runs it with a program, which is told that it is called `pmap`.
    pub fn run(&self, program: &str) -> Printed {
        let output = self.command(program).output();
        output.unwrap_or_else(|error| panic!("{program}: {error}")).into()
    }

    /// The command, not yet run.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.arg0("pmap").args(&self.arguments).stdin(Stdio::null());
        for (name, value) in &self.environment {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = &self.folder {
            command.current_dir(folder);
        }
        command
    }

    /// Checks that ours prints what procps prints: the same bytes, and the same exit status.
    #[track_caller]
    pub fn check(&self) {
        self.check_with(Clone::clone);
    }

    /// The same, after something has been taken out of both.
    #[track_caller]
    pub fn check_with(&self, view: impl Fn(&Printed) -> Printed) {
        let ours = view(&self.run(OURS));
        let theirs = view(&self.run(PROCPS));
        assert_eq!(ours.status, theirs.status, "exit status of pmap {:?}", self.arguments);
        assert_same(&ours.stderr, &theirs.stderr, &format!("stderr of pmap {:?}", self.arguments));
        assert_same(&ours.stdout, &theirs.stdout, &format!("stdout of pmap {:?}", self.arguments));
    }
}

/// Checks that two outputs are the same, and shows the first line that is not.
#[track_caller]
pub fn assert_same(ours: &[u8], theirs: &[u8], what: &str) {
    if ours == theirs {
        return;
    }
    let (mut a, mut b) = (ours.split(|&byte| byte == b'\n'), theirs.split(|&byte| byte == b'\n'));
    for number in 1.. {
        let (a, b) = (a.next(), b.next());
        let show = |line: Option<&[u8]>| {
            line.map_or("(no line)".into(), |line| {
                String::from_utf8_lossy(line).escape_debug().to_string()
            })
        };
        assert!(a == b, "{what}, line {number}\n  ours:   {}\n  procps: {}", show(a), show(b));
    }
}

/// Fails with a sentence unless the test runs as root.
pub fn require_root() {
    let status = fs::read_to_string("/proc/self/status").expect("/proc is mounted");
    assert!(
        status.contains("Uid:\t0\t0\t"),
        "this test needs root: run the tests as root, as .ci/run does"
    );
}
