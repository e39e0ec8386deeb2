//! A random program against the real kernel: does the live table have, at every version that can
//! be read, what the kernel has?

mod act;
mod plan;
mod random;
pub(crate) mod worker;

#[cfg(feature = "torture")]
mod judge;
#[cfg(feature = "torture")]
mod oracle;
#[cfg(feature = "torture")]
mod run;

use anyhow::Result;
use clap::Args;

/// How long, how many, and which.
#[derive(Args)]
pub(crate) struct Options {
    /// How long to go on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seed of the random program; the time, unless it is given.
    #[arg(long)]
    seed: Option<u64>,
    /// Threads of each process; from 1 to 8 in turn, unless it is given.
    #[arg(long)]
    threads: Option<u32>,
    /// Processes at once.
    #[arg(long, default_value_t = 2)]
    processes: u32,
    /// A program to follow instead, with its arguments.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// `cargo xtask torture`.
#[cfg(feature = "torture")]
pub(crate) fn run(options: &Options) -> Result<()> {
    run::run(options)
}

/// `cargo xtask torture`: starts this verb again, built with the tracer, and optimised.
#[cfg(not(feature = "torture"))]
pub(crate) fn run(options: &Options) -> Result<()> {
    use crate::{command, workspace};
    let Options { seconds, seed, threads, processes, command: words } = options;
    let mut cargo = std::process::Command::new(workspace::cargo());
    cargo
        .current_dir(workspace::root()?)
        .args(["run", "--quiet", "--locked", "--release", "--package", "xtask"])
        .args(["--features", "torture", "--", "torture"])
        .args([format!("--seconds={seconds}"), format!("--processes={processes}")])
        .args(seed.map(|seed| format!("--seed={seed}")))
        .args(threads.map(|threads| format!("--threads={threads}")));
    if !words.is_empty() {
        cargo.arg("--").args(words);
    }
    command::run(&mut cargo)
}
