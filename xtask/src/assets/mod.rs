//! The manual page and the completions, made from the command line that pmap itself parses.

#[cfg(feature = "assets")]
mod generate;

use anyhow::Result;
use clap::Args;

/// What to do with the files.
#[derive(Args)]
pub(crate) struct Options {
    /// Write nothing: fail where a committed file is not what the command line gives.
    #[arg(long)]
    check: bool,
}

/// `cargo xtask assets`.
#[cfg(feature = "assets")]
pub(crate) fn run(options: &Options) -> Result<()> {
    generate::run(options.check)
}

/// `cargo xtask assets`: starts this verb again, built with pmap's command line; unoptimised, to
/// share what the tests have built.
#[cfg(not(feature = "assets"))]
pub(crate) fn run(options: &Options) -> Result<()> {
    use crate::{command, workspace};
    let mut cargo = std::process::Command::new(workspace::cargo());
    cargo
        .current_dir(workspace::root()?)
        .args(["run", "--quiet", "--locked", "--package", "xtask"])
        .args(["--features", "assets", "--", "assets"])
        .args(options.check.then_some("--check"));
    command::run(&mut cargo)
}
