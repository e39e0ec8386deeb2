//! Starting workers, and measuring what a command costs.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, io};

use anyhow::{Context, Result, bail};

/// A worker that has said that it is ready; it ends when this is dropped.
pub(super) struct Worker {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts `cargo xtask worker ARGUMENTS`.
    pub(super) fn start(arguments: &[&str]) -> Result<Self> {
        let mut child = itself(arguments)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a worker")?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("a worker has no output")?);
        let mut worker = Self { child, input, output };
        if worker.line()? != "ready" {
            bail!("the worker `{}` did not get ready", arguments.join(" "));
        }
        Ok(worker)
    }

    /// Its process.
    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lets a loop run; returns the nanoseconds of one turn. The worker has then ended.
    pub(super) fn run_loop(mut self) -> Result<f64> {
        let mut input = self.input.take().context("the loop has run already")?;
        input.write_all(b"\n").context("cannot start the loop")?;
        let line = self.line()?;
        line.parse().with_context(|| format!("the loop printed `{line}` and not a number"))
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("cannot read what a worker says")?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.input = None;
        // It ends at the end of its input; where it cannot be waited for, nothing is left to do.
        let _ = self.child.wait();
    }
}

/// This program as a worker.
pub(super) fn itself(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(this_program()?);
    command.arg("worker").args(arguments);
    Ok(command)
}

/// This program's file.
pub(super) fn this_program() -> Result<PathBuf> {
    env::current_exe().context("cannot find this program")
}

/// Runs a command to its end, its output thrown away; returns the CPU time of the whole process.
pub(super) fn cpu_time(command: &mut Command) -> Result<Duration> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let (status, used) = wait(&child)?;
    if status != 0 {
        bail!("{} failed with wait status {status}", command.get_program().display());
    }
    Ok(used)
}

/// Waits for a child; its wait status and its CPU time.
pub(super) fn wait(child: &Child) -> Result<(i32, Duration)> {
    let pid = i32::try_from(child.id()).context("a process id that is too large")?;
    let mut status = 0;
    // SAFETY: rusage is plain numbers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to live values of the types that the call fills.
    while unsafe { libc::wait4(pid, &raw mut status, 0, &raw mut usage) } < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error).context("cannot wait for a process");
        }
    }
    Ok((status, duration(usage.ru_utime) + duration(usage.ru_stime)))
}

fn duration(time: libc::timeval) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let micros = u64::try_from(time.tv_usec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// The middle one of these figures.
pub(super) fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}
