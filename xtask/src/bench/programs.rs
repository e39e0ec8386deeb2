//! What following costs real programs: a Python, a JavaScript and a C one, alone and under each
//! tracer.
//!
//! The time is the program's own, from its start to its end: what the tracers take to start, and to
//! write the rest of what they have seen, is not in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use super::measure::{self, median};
use super::peers::{self, Target, Tracer};
use super::table::{Table, ratio};
use crate::{cargo, command, debian, workspace};

/// Memory goes back to the kernel as soon as it is free, and by `munmap`: jemalloc keeps it mapped
/// unless it is told otherwise.
const JEMALLOC: [&str; 2] = [
    "LD_PRELOAD=libjemalloc.so.2",
    "MALLOC_CONF=background_thread:true,retain:false,dirty_decay_ms:0,muzzy_decay_ms:0",
];

/// The file in the folder of benchmarks that the tracers write to.
const EVENTS: &str = "events";

/// How often.
#[derive(Args)]
pub(crate) struct Options {
    /// Runs of each program under each tracer; the median counts.
    #[arg(long, default_value_t = 5)]
    runs: u32,
}

/// A program that allocates for a living.
struct Program {
    name: &'static str,
    command: Vec<String>,
}

/// The figures of one line of the table.
struct Figures {
    alone: Vec<f64>,
    /// In the order of the tracers.
    followed: Vec<Vec<f64>>,
    summaries: Vec<Summary>,
}

/// What the end of our stream says.
struct Summary {
    changes: u64,
    lost: u64,
    drift: u64,
}

/// `cargo xtask bench programs`.
pub(super) fn run(options: &Options) -> Result<()> {
    let folder = workspace::bench_folder()?;
    let programs = programs(&folder)?;
    let pmap = cargo::release_pmap()?;
    let (tracers, absent) = peers::tracers(&pmap);
    let mut lines: Vec<_> = programs.iter().map(|_| Figures::new(tracers.len())).collect();
    for _ in 0..options.runs {
        for (program, figures) in programs.iter().zip(&mut lines) {
            figures.alone.push(alone(program, &folder)?);
            for (tracer, times) in tracers.iter().zip(&mut figures.followed) {
                // A peer that cannot run here costs its own column, not the others'.
                match followed(program, tracer, &folder) {
                    Ok(seconds) => times.push(seconds),
                    Err(error) => {
                        println!("{}: {error:#}", program.name);
                        continue;
                    }
                }
                if tracer.is_ours() {
                    figures.summaries.push(Summary::read(&folder.join(EVENTS))?);
                }
            }
        }
    }

    println!("wall time / untraced, median of {}\n", options.runs);
    let mut headings = vec!["program", "alone, s"];
    headings.extend(tracers.iter().map(|tracer| tracer.name));
    headings.extend(["changes", "lost", "drift"]);
    let mut table = Table::new(&headings);
    for (program, figures) in programs.iter().zip(&lines) {
        table.line(figures.cells(program.name));
    }
    table.print();
    for tracer in &absent {
        println!("{} is not installed: {}", tracer.name, tracer.hint);
    }
    Ok(())
}

/// The programs, built where they need it.
fn programs(folder: &Path) -> Result<Vec<Program>> {
    debian::install(&["gcc", "libc6-dev", "libjemalloc2", "python3"])?;
    let sources = workspace::root()?.join("xtask/bench");
    let source = |name| sources.join(name).display().to_string();
    let threads = folder.join("threads");
    command::run(
        Command::new("cc")
            .args(["-O2", "-pthread", "-o"])
            .arg(&threads)
            .arg(sources.join("threads.c")),
    )?;
    let mut jemalloc = vec!["env".to_owned()];
    jemalloc.extend(JEMALLOC.map(str::to_owned));
    jemalloc.push(threads.display().to_string());
    let managed = if let Some(node) = in_path("node") {
        Program { name: "Node", command: vec![node, source("buffers.js")] }
    } else if let Some(java) = in_path("java") {
        println!("node is not installed: java instead");
        Program { name: "Java", command: vec![java, source("Buffers.java")] }
    } else {
        debian::install(&["nodejs"])?;
        Program { name: "Node", command: vec!["node".to_owned(), source("buffers.js")] }
    };
    Ok(vec![
        // Not the first in PATH, which may be a script that looks for the right one.
        Program {
            name: "Python",
            command: vec!["/usr/bin/python3".to_owned(), source("objects.py")],
        },
        managed,
        Program { name: "C with jemalloc", command: jemalloc },
    ])
}

fn in_path(program: &str) -> Option<String> {
    Some(peers::in_path(Path::new(program))?.display().to_string())
}

/// Seconds of the program that nobody traces.
fn alone(program: &Program, folder: &Path) -> Result<f64> {
    let (file, words) = stopwatch(program, folder)?;
    let [stopwatch, arguments @ ..] = words.as_slice() else { bail!("there is nothing to run") };
    command::run(Command::new(stopwatch).args(arguments))?;
    stopped(&file)
}

/// Seconds of the program under a tracer.
fn followed(program: &Program, tracer: &Tracer, folder: &Path) -> Result<f64> {
    let (file, words) = stopwatch(program, folder)?;
    let events = folder.join(EVENTS);
    let child = tracer.start(Target::Command(&words), &events)?;
    let (status, _) = measure::wait(&child)?;
    if status != 0 {
        let said = peers::complaints(&events);
        bail!("{} failed with wait status {status}: {said}", tracer.name);
    }
    stopped(&file)
}

/// The command that runs the program and takes its time, and the file that it writes that to.
fn stopwatch(program: &Program, folder: &Path) -> Result<(PathBuf, Vec<String>)> {
    let file = folder.join("seconds");
    // The figure of the run before must not be taken for this one's.
    let _ = fs::remove_file(&file);
    let (itself, seconds) = (measure::this_program()?, file.display().to_string());
    let mut words = vec![itself.display().to_string()];
    words.extend(["worker", "stopwatch", &seconds, "--"].map(str::to_owned));
    words.extend_from_slice(&program.command);
    Ok((file, words))
}

fn stopped(file: &Path) -> Result<f64> {
    let seconds = fs::read_to_string(file).context("the program did not come to its end")?;
    seconds.parse().with_context(|| format!("`{seconds}` is no number of seconds"))
}

impl Figures {
    fn new(tracers: usize) -> Self {
        Self { alone: Vec::new(), followed: vec![Vec::new(); tracers], summaries: Vec::new() }
    }

    fn cells(&self, name: &str) -> Vec<String> {
        let shown = |figure: Option<f64>, digits: usize| {
            figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.digits$}"))
        };
        let alone = median(&self.alone);
        let mut cells = vec![name.to_owned(), shown(alone, 2)];
        cells.extend(self.followed.iter().map(|times| ratio(median(times), alone)));
        let changes: Vec<_> = self.summaries.iter().map(|summary| summary.changes as f64).collect();
        cells.push(shown(median(&changes), 0));
        let lost: u64 = self.summaries.iter().map(|summary| summary.lost).sum();
        let drift: u64 = self.summaries.iter().map(|summary| summary.drift).sum();
        cells.extend([lost.to_string(), drift.to_string()]);
        cells
    }
}

impl Summary {
    /// From the last line of a stream, in either of its forms.
    fn read(file: &Path) -> Result<Self> {
        let stream = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        let line = stream.trim_ascii_end().rsplit(|&byte| byte == b'\n').next();
        let line = String::from_utf8_lossy(line.unwrap_or_default());
        Self::of_json(&line)
            .or_else(|| Self::of_text(&line))
            .with_context(|| format!("the stream ends with `{line}` and not with a summary"))
    }

    fn of_json(line: &str) -> Option<Self> {
        let summary: Value = serde_json::from_str(line).ok()?;
        let changes = summary["changes"].as_object()?.values().filter_map(Value::as_u64).sum();
        Some(Self { changes, lost: summary["lost"].as_u64()?, drift: summary["drift"].as_u64()? })
    }

    fn of_text(line: &str) -> Option<Self> {
        let after = |word: &str| {
            let (_, rest) = line.split_once(word)?;
            rest.split([' ', ',']).next()?.parse().ok()
        };
        Some(Self { changes: after("# ")?, lost: after(", lost ")?, drift: after(", drift: ")? })
    }
}
