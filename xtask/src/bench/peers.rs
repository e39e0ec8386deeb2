//! The programs that pmap is measured against.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command;

/// A tracer of one process that writes a line for each `munmap`, with that word in it.
pub(super) struct Tracer {
    /// What it is called in the table.
    pub(super) name: &'static str,
    /// The program.
    pub(super) program: PathBuf,
    /// What installs it, where it is not there.
    pub(super) hint: &'static str,
    /// Its arguments, for a process and a file; it writes to its standard output where it does
    /// not take the file.
    pub(super) arguments: fn(pid: u32, file: &str) -> Vec<String>,
}

/// The tracers, ours first.
pub(super) fn tracers(pmap: &Path) -> Vec<Tracer> {
    let peer =
        |name, hint, arguments| Tracer { name, program: PathBuf::from(name), hint, arguments };
    vec![
        Tracer {
            name: "pmap --follow --json",
            program: pmap.to_owned(),
            hint: "",
            arguments: |pid, _| words(&["--follow", "--json", &pid.to_string()]),
        },
        peer("bpftrace", "apt-get install bpftrace", |pid, _| {
            let program = format!(
                "tracepoint:syscalls:sys_exit_mmap /pid == {pid}/ {{ printf(\"mmap %lx\\n\", args->ret) }} \
                 tracepoint:syscalls:sys_enter_munmap /pid == {pid}/ \
                 {{ printf(\"munmap %lx %d\\n\", args->addr, args->len) }}"
            );
            words(&["-p", &pid.to_string(), "-e", &program])
        }),
        peer("strace", "apt-get install strace", |pid, file| {
            words(&["-f", "-e", "trace=memory", "-o", file, "-p", &pid.to_string()])
        }),
        peer("perf", "apt-get install linux-perf", |pid, file| {
            words(&["trace", "-e", "mmap,munmap", "-o", file, "-p", &pid.to_string()])
        }),
    ]
}

impl Tracer {
    /// Whether it can be started.
    pub(super) fn is_installed(&self) -> bool {
        self.program.is_absolute() || in_path(&self.program).is_some()
    }
}

/// The `pmap` of procps, wherever it is in PATH.
pub(super) fn procps_pmap() -> Option<&'static Path> {
    let path = Path::new("/usr/bin/pmap");
    let version = command::version(path, "--version")?;
    version.contains("procps").then_some(path)
}

fn in_path(program: &Path) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.exists())
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// A tracer's command line.
pub(super) fn command(tracer: &Tracer, pid: u32, file: &str) -> Command {
    let mut command = Command::new(&tracer.program);
    command.args((tracer.arguments)(pid, file));
    command
}
