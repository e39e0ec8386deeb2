//! How fast: pmap beside its peers, on the same process, in turn, as ratios of medians.
//!
//! A benchmark and not a test: it prints figures and judges none.

mod follow;
mod measure;
mod peers;
mod programs;
mod snapshot;
mod table;
pub(crate) mod worker;

use anyhow::Result;
use clap::Subcommand;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Part {
    /// The CPU time of one listing, beside procps and a bare read of the file.
    Snapshot(snapshot::Options),
    /// What following costs the followed process and the others, beside other tracers.
    Follow(follow::Options),
    /// What following costs real programs that allocate a lot, beside other tracers.
    Programs(programs::Options),
}

/// `cargo xtask bench`.
pub(crate) fn run(part: &Part) -> Result<()> {
    match part {
        Part::Snapshot(options) => snapshot::run(options),
        Part::Follow(options) => follow::run(options),
        Part::Programs(options) => programs::run(options),
    }
}
