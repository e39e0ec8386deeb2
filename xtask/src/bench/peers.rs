//! The programs that pmap is measured against.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::command;

/// A tracer that writes a line for each system call that changes mappings, with its name in it.
pub(super) struct Tracer {
    /// What it is called in the table.
    pub(super) name: &'static str,
    /// The program.
    program: PathBuf,
    /// What installs it, where it is not there.
    pub(super) hint: &'static str,
    /// Its arguments; it writes to its standard output where it does not take the file.
    arguments: fn(target: Target<'_>, file: &str) -> Vec<String>,
}

/// What is traced.
#[derive(Clone, Copy)]
pub(super) enum Target<'a> {
    /// A process that runs.
    Process(u32),
    /// A command that the tracer starts, and all that it forks.
    Command(&'a [String]),
}

/// The tracers, ours first, and those that are not installed.
pub(super) fn tracers(pmap: &Path) -> (Vec<Tracer>, Vec<Tracer>) {
    mount_tracefs();
    all_tracers(pmap).into_iter().partition(Tracer::is_installed)
}

fn all_tracers(pmap: &Path) -> Vec<Tracer> {
    let own = |name, arguments| Tracer { name, program: pmap.to_owned(), hint: "", arguments };
    let peer = |name, program, hint, arguments| Tracer {
        name,
        program: PathBuf::from(program),
        hint,
        arguments,
    };
    vec![
        own("pmap --json", |target, _| pmap_arguments(&["--follow", "--json"], target)),
        own("pmap", |target, _| pmap_arguments(&["--follow"], target)),
        peer("bpftrace", "bpftrace", "apt-get install bpftrace", |target, _| {
            bpftrace_arguments(target)
        }),
        peer("strace", "strace", "apt-get install strace", |target, file| {
            after(words(&["-f", "-e", "trace=memory", "-o", file]), target)
        }),
        peer("perf trace", "perf", "apt-get install linux-perf", |target, file| {
            let calls = "mmap,munmap,brk,mprotect,mremap,madvise";
            after(words(&["trace", "-e", calls, "-o", file]), target)
        }),
    ]
}

impl Tracer {
    /// Whether it can be started.
    fn is_installed(&self) -> bool {
        self.is_ours() || in_path(&self.program).is_some()
    }

    /// Whether it is pmap.
    pub(super) fn is_ours(&self) -> bool {
        self.program.is_absolute()
    }

    /// Starts it; what it tells of its target goes to `file`, and its complaints beside it.
    pub(super) fn start(&self, target: Target<'_>, file: &Path) -> Result<Child> {
        let create = |path: &Path| {
            File::create(path).with_context(|| format!("cannot write {}", path.display()))
        };
        Command::new(&self.program)
            .args((self.arguments)(target, &file.display().to_string()))
            .stdin(Stdio::null())
            .stdout(create(file)?)
            .stderr(create(&complaints_file(file))?)
            .spawn()
            .with_context(|| format!("cannot start {}", self.name))
    }
}

/// What the tracer that wrote `file` said on its standard error.
pub(super) fn complaints(file: &Path) -> String {
    let said = fs::read(complaints_file(file)).unwrap_or_default();
    String::from_utf8_lossy(&said).trim().to_owned()
}

/// Mounts what bpftrace reads the tracepoints from, as perf does by itself; where that fails,
/// bpftrace says so.
fn mount_tracefs() {
    if !Path::new("/sys/kernel/tracing/events").exists() {
        let _ = Command::new("mount")
            .args(["-t", "tracefs", "tracefs", "/sys/kernel/tracing"])
            .status();
    }
}

/// The `pmap` of procps, wherever it is in PATH.
pub(super) fn procps_pmap() -> Option<&'static Path> {
    let path = Path::new("/usr/bin/pmap");
    let version = command::version(path, "--version")?;
    version.contains("procps").then_some(path)
}

/// The first program of that name in PATH.
pub(super) fn in_path(program: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.exists())
}

fn pmap_arguments(options: &[&str], target: Target<'_>) -> Vec<String> {
    let mut arguments = words(options);
    match target {
        Target::Process(pid) => arguments.push(pid.to_string()),
        Target::Command(command) => {
            arguments.extend(words(&["--children", "--"]));
            arguments.extend_from_slice(command);
        }
    }
    arguments
}

/// One line a call, with its result or its arguments where the others tell both: the least that
/// bpftrace can do.
fn bpftrace_arguments(target: Target<'_>) -> Vec<String> {
    let (filter, setup, (option, value)) = match target {
        Target::Process(pid) => (format!("pid == {pid}"), "", ("-p", pid.to_string())),
        Target::Command(command) => (
            "@tree[pid]".to_owned(),
            "BEGIN { @tree[cpid] = 1 } END { clear(@tree) } \
             tracepoint:sched:sched_process_fork /@tree[pid]/ { @tree[args->child_pid] = 1 } ",
            ("-c", command.join(" ")),
        ),
    };
    let mut program = setup.to_owned();
    for (side, call, fields) in [
        ("exit", "mmap", "args->ret, 0"),
        ("exit", "brk", "args->ret, 0"),
        ("exit", "mremap", "args->ret, 0"),
        ("enter", "munmap", "args->addr, args->len"),
        ("enter", "mprotect", "args->start, args->len"),
        ("enter", "madvise", "args->start, args->len_in"),
    ] {
        program += &format!(
            "tracepoint:syscalls:sys_{side}_{call} /{filter}/ {{ printf(\"{call} %lx %d\\n\", {fields}) }} "
        );
    }
    words(&[option, &value, "-e", &program])
}

/// Arguments that end with `-p PID` or with a command.
fn after(mut arguments: Vec<String>, target: Target<'_>) -> Vec<String> {
    match target {
        Target::Process(pid) => arguments.extend(["-p".to_owned(), pid.to_string()]),
        Target::Command(command) => {
            arguments.push("--".to_owned());
            arguments.extend_from_slice(command);
        }
    }
    arguments
}

fn complaints_file(file: &Path) -> PathBuf {
    file.with_extension("errors")
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}
