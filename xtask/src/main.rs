//! What the repository does besides `cargo build` and `cargo test`.

#![expect(clippy::print_stdout, reason = "what a verb prints is its result")]

mod assets;
mod bench;
mod cargo;
mod command;
mod debian;
mod ebpf;
mod torture;
mod vm;
mod workspace;

use std::process::ExitCode;

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
    /// Write the manual page and the shells' completions.
    Assets(assets::Options),
    /// Run the cases of `xtask/vm/cases` under other kernels, in virtual machines.
    Vm(vm::Options),
    /// Print how fast pmap is, as ratios to its peers measured in the same run.
    #[command(subcommand)]
    Bench(bench::Part),
    /// Compare the live table with the kernel's while a random program, or any other, changes it.
    Torture(torture::Options),
    /// The process that is tortured.
    #[command(hide = true)]
    TortureWorker(torture::worker::Work),
    /// A process for the benchmarks to measure.
    #[command(subcommand, hide = true)]
    Worker(bench::worker::Work),
}

fn main() -> ExitCode {
    match run(Arguments::parse().verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> Result<()> {
    match verb {
        Verb::EbpfToolchain => ebpf::install_toolchain(),
        Verb::Ebpf(options) => ebpf::run(&options),
        Verb::Assets(options) => assets::run(&options),
        Verb::Vm(options) => vm::run(&options),
        Verb::Bench(part) => bench::run(&part),
        Verb::Torture(options) => torture::run(&options),
        Verb::TortureWorker(work) => torture::worker::run(&work),
        Verb::Worker(work) => bench::worker::run(&work),
    }
}
