//! Other kernels: the same cases in a row of virtual machines, and a table of what came out.
//!
//! Everything is software emulation with one virtual processor: it runs anywhere, and QEMU 7.2
//! corrupts the kernel's text patching with more.

mod apt;
mod cases;
mod cpio;
mod guest;
mod kernels;
mod programs;
mod report;
mod table;

use std::fs;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{debian, workspace};
use guest::Machine;
use kernels::Kernel;
use table::{Column, Table};

/// Machines that run at the same time; each keeps one core busy.
const AT_ONCE: usize = 2;
/// Seconds that one case may take.
const CASE_LIMIT: u64 = 300;
/// Seconds of a machine's time that are not its command's.
const BOOT: u64 = 20;

/// Which kernels, and what to run in them.
#[derive(Args)]
pub(crate) struct Options {
    /// A kernel to boot; it must then be had, or the run fails. Several may be named; all when none
    /// is.
    #[arg(long, value_name = "NAME", value_parser = kernels::names())]
    kernel: Vec<String>,
    /// Seconds that one machine may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 900)]
    timeout: u64,
    /// A command to run in each machine instead of the cases; what it prints is shown.
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// `cargo xtask vm`.
pub(crate) fn run(options: &Options) -> Result<()> {
    let root = workspace::root()?;
    let folder = root.join("target/vm");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    debian::install(&["qemu-system-x86", "busybox-static", "gcc-multilib", "libc6-dev"])?;

    let cases = cases::read(&root, &options.command)?;
    let programs = programs::build(&root, &folder)?;
    let initramfs = folder.join("initramfs.cpio");
    guest::pack(&root, &cases, &programs, &initramfs)?;

    let mut columns = Vec::new();
    let mut machines = Vec::new();
    for kernel in kernels::chosen(&options.kernel) {
        let image = kernels::fetch(kernel, &folder);
        if let (Err(error), false) = (&image, options.kernel.is_empty()) {
            bail!("kernel {} cannot be had: {error:#}", kernel.name);
        }
        for lockdown in kernel.lockdowns() {
            let label = kernel.label(lockdown);
            match &image {
                Ok(image) => {
                    println!("{label}: {}", image.version);
                    machines.push(Machine {
                        label: label.clone(),
                        kernel: image.file.clone(),
                        initramfs: initramfs.clone(),
                        append: append(kernel, lockdown, options),
                        log: folder.join(format!("{}.log", label.replace(' ', "-"))),
                    });
                    columns.push(Column::Waiting(label));
                }
                Err(error) => {
                    println!("{label}: not tried: {error:#}");
                    columns.push(Column::NotTried(label));
                }
            }
        }
    }
    if machines.is_empty() {
        bail!("no kernel could be had, so nothing was tried");
    }
    run_all(&machines, Duration::from_secs(options.timeout), &mut columns)?;
    let table = Table::new(cases.iter().map(|case| case.name.clone()).collect(), columns);
    if !options.command.is_empty() {
        table.print_outputs();
    }
    table.print();
    if table.failed() {
        bail!("not every case passed; the machines' logs are in {}", folder.display());
    }
    Ok(())
}

/// What a machine has on its command line: the kernel hands it to the first process as variables.
fn append(kernel: &Kernel, lockdown: bool, options: &Options) -> String {
    let limit =
        if options.command.is_empty() { CASE_LIMIT } else { options.timeout.saturating_sub(BOOT) };
    let mut append = format!("KERNEL={} LIMIT={limit}", kernel.name);
    if lockdown {
        append.push_str(" lockdown=confidentiality LOCKDOWN=confidentiality");
    }
    append
}

/// Boots every machine, `AT_ONCE` at a time, and puts what came out in its column.
fn run_all(machines: &[Machine], timeout: Duration, columns: &mut [Column]) -> Result<()> {
    let waiting = Mutex::new(machines.iter());
    let ended = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(machine) = waiting.lock().ok().and_then(|mut left| left.next()) {
                    let result = machine.run(timeout);
                    if let Ok(mut ended) = ended.lock() {
                        ended.push((machine.label.clone(), result));
                    }
                }
            });
        }
    });
    for (label, result) in ended.into_inner().unwrap_or_default() {
        let report = result?;
        if let Some(column) = columns.iter_mut().find(|column| column.label() == label) {
            *column = Column::Ended(label, report);
        }
    }
    Ok(())
}
