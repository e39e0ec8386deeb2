//! What following costs: the followed loop under each tracer, and loops that nobody follows.

use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;

use super::measure::{self, Worker, median};
use super::peers::{self, Target, Tracer};
use super::table::{Table, ratio};
use crate::{cargo, workspace};

/// How long a tracer may take to attach; none says in the same way that it has.
const ATTACH: Duration = Duration::from_secs(3);
/// How long a tracer may take to write what it has seen, after its process has ended.
const DRAIN: Duration = Duration::from_secs(20);

/// How much, and how often.
#[derive(Args)]
pub(crate) struct Options {
    /// Turns of each loop.
    #[arg(long, default_value_t = 200_000)]
    turns: u32,
    /// Runs under each tracer; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: u32,
}

/// The figures of one line of the table.
#[derive(Default)]
struct Figures {
    turns: Vec<f64>,
    cpu: Vec<f64>,
    missing: Vec<f64>,
}

/// `cargo xtask bench follow`.
pub(super) fn run(options: &Options) -> Result<()> {
    let file = workspace::bench_folder()?.join("events");
    let pmap = cargo::release_pmap()?;
    let (tracers, absent) = peers::tracers(&pmap);

    let mut base = Figures::default();
    let mut followed: Vec<Figures> = tracers.iter().map(|_| Figures::default()).collect();
    let mut beside =
        [("mmap-loop", Vec::new(), Vec::new()), ("getppid-loop", Vec::new(), Vec::new())];
    for _ in 0..options.runs {
        base.turns.push(run_loop("mmap-loop", options.turns)?);
        for (tracer, figures) in tracers.iter().zip(&mut followed) {
            // A peer that cannot run here costs its own line, not the others'.
            if let Err(error) = run_followed(tracer, options.turns, &file, figures) {
                println!("{error:#}");
            }
        }
        for (name, alone, watched) in &mut beside {
            alone.push(run_loop(name, options.turns)?);
            match run_beside(&tracers[0], name, options.turns, &file) {
                Ok(turn) => watched.push(turn),
                Err(error) => println!("{error:#}"),
            }
        }
    }

    println!("{} turns, median of {}\n", options.turns, options.runs);
    let mut table = Table::new(&[
        "mmap + munmap",
        "ns a turn",
        "/ untraced",
        "tracer CPU s",
        "munmap lines missing",
    ]);
    let untraced = median(&base.turns);
    table.line(vec!["untraced".to_owned(), shown(untraced), ratio(untraced, untraced)]);
    for (tracer, figures) in tracers.iter().zip(&followed) {
        let turn = median(&figures.turns);
        table.line(vec![
            tracer.name.to_owned(),
            shown(turn),
            ratio(turn, untraced),
            median(&figures.cpu).map_or_else(String::new, |cpu| format!("{cpu:.2}")),
            shown(median(&figures.missing)),
        ]);
    }
    for tracer in &absent {
        table.line(vec![tracer.name.to_owned(), format!("not installed: {}", tracer.hint)]);
    }
    table.print();
    println!("\nwhile pmap follows another process\n");
    let mut table = Table::new(&["loop", "alone, ns a turn", "then", "ratio"]);
    for (name, alone, watched) in &beside {
        let (alone, watched) = (median(alone), median(watched));
        table.line(vec![(*name).to_owned(), shown(alone), shown(watched), ratio(watched, alone)]);
    }
    table.print();
    Ok(())
}

/// A loop that nobody follows.
fn run_loop(name: &str, turns: u32) -> Result<f64> {
    Worker::start(&[name, &turns.to_string()])?.run_loop()
}

/// A loop that `tracer` follows.
fn run_followed(tracer: &Tracer, turns: u32, file: &Path, figures: &mut Figures) -> Result<()> {
    let worker = Worker::start(&["mmap-loop", &turns.to_string()])?;
    let child = attach(tracer, worker.pid(), file)?;
    figures.turns.push(worker.run_loop()?);
    figures.cpu.push(end(child)?.as_secs_f64());
    figures.missing.push(f64::from(turns.saturating_sub(munmap_lines(file)?)));
    Ok(())
}

/// A loop that nobody follows while `tracer` follows another process.
fn run_beside(tracer: &Tracer, name: &str, turns: u32, file: &Path) -> Result<f64> {
    let other = Worker::start(&["hold"])?;
    let child = attach(tracer, other.pid(), file)?;
    let turn = run_loop(name, turns)?;
    drop(other);
    end(child)?;
    Ok(turn)
}

fn attach(tracer: &Tracer, pid: u32, file: &Path) -> Result<Child> {
    let child = tracer.start(Target::Process(pid), file)?;
    thread::sleep(ATTACH);
    if !is_running(&child) {
        let (status, _) = measure::wait(&child)?;
        let said = peers::complaints(file);
        bail!("{} ended at once (wait status {status}): {said}", tracer.name);
    }
    Ok(child)
}

/// Waits for a tracer whose process has ended, and interrupts it when it does not end too.
fn end(child: Child) -> Result<Duration> {
    let deadline = Instant::now() + DRAIN;
    while Instant::now() < deadline && is_running(&child) {
        thread::sleep(Duration::from_millis(20));
    }
    if is_running(&child) {
        let pid = i32::try_from(child.id()).context("a process id that is too large")?;
        // SAFETY: the call takes numbers only, and the child has not been waited for, so that the
        // number is still its own.
        unsafe { libc::kill(pid, libc::SIGINT) };
    }
    Ok(measure::wait(&child)?.1)
}

/// Whether a child that has not been waited for is still at work.
fn is_running(child: &Child) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn munmap_lines(file: &Path) -> Result<u32> {
    let context = || format!("cannot read {}", file.display());
    let mut reader = BufReader::new(File::open(file).with_context(context)?);
    let (mut line, mut count) = (Vec::new(), 0);
    while reader.read_until(b'\n', &mut line).with_context(context)? > 0 {
        count += u32::from(line.windows(6).any(|word| word == b"munmap"));
        line.clear();
    }
    Ok(count)
}

fn shown(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.0}"))
}
