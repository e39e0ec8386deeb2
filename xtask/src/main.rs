//! What the repository does besides `cargo build` and `cargo test`.

#![expect(clippy::print_stdout, reason = "what a verb prints is its result")]

mod command;
mod debian;
mod ebpf;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// What the repository does besides `cargo build` and `cargo test`.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", arg_required_else_help = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what building the eBPF object needs.
    EbpfToolchain,
    /// Build the eBPF object, `pmap-ebpf/pmap.bpf.o`.
    Ebpf(ebpf::Options),
}

fn main() -> Result<()> {
    match Arguments::parse().verb {
        Verb::EbpfToolchain => ebpf::install_toolchain(),
        Verb::Ebpf(options) => ebpf::run(&options),
    }
}
