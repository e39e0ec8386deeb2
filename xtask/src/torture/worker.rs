//! The process that is tortured.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::{io, ptr, thread};

use anyhow::{Context, Result};
use clap::Args;

use super::act::{Actor, Process};
use super::plan::Plan;

/// What it does.
#[derive(Args)]
pub(crate) struct Work {
    #[arg(long)]
    seed: u64,
    #[arg(long, default_value_t = 1)]
    threads: u64,
    /// Ends after so many steps, and does not wait for a word.
    #[arg(long)]
    steps: Option<usize>,
    /// Where the steps are counted.
    #[arg(long)]
    counter: Option<PathBuf>,
}

/// `cargo xtask torture-worker`.
pub(crate) fn run(work: &Work) -> Result<()> {
    keep_memory_small();
    let process = Process::new()?;
    if let Some(steps) = work.steps {
        let actor = Actor::new(&process);
        Plan::new(work.seed, false).take(steps).for_each(|step| actor.take(step));
        return Ok(());
    }
    let own = AtomicU64::new(0);
    let count = match &work.counter {
        Some(path) => shared_counter(path)?,
        None => &own,
    };
    // One byte, and it begins.
    io::stdin().read_exact(&mut [0]).context("nobody said to begin")?;
    thread::scope(|scope| {
        for thread in 0..work.threads {
            let process = &process;
            scope.spawn(move || {
                let actor = Actor::new(process);
                for step in Plan::new(work.seed ^ (thread << 48), thread == 0) {
                    actor.take(step);
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    Ok(())
}

/// A number in a file that somebody else reads.
fn shared_counter(path: &PathBuf) -> Result<&'static AtomicU64> {
    let context = || format!("cannot count in {}", path.display());
    let file = File::options().read(true).write(true).open(path).with_context(context)?;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a place of the kernel's choice, which stays mapped.
    unsafe {
        let at =
            libc::mmap(ptr::null_mut(), 4096, protection, libc::MAP_SHARED, file.as_raw_fd(), 0);
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error()).with_context(context);
        }
        Ok(&*at.cast())
    }
}

/// Without the right to lock any amount, so that no lock fills a huge mapping with memory.
fn keep_memory_small() {
    const IPC_LOCK: u32 = 1 << 14;
    let head = [0x2008_0522u32, 0];
    let mut data = [0u32; 6];
    let limit = libc::rlimit { rlim_cur: 4 << 20, rlim_max: 4 << 20 };
    // SAFETY: the structures are of the form that these calls ask for. Where they fail the right
    // was not there.
    unsafe {
        libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit);
        libc::syscall(libc::SYS_capget, head.as_ptr(), data.as_mut_ptr());
        data[0] &= !IPC_LOCK;
        data[1] &= !IPC_LOCK;
        libc::syscall(libc::SYS_capset, head.as_ptr(), data.as_ptr());
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        // Sixteen threads leave the judge too little of two cores.
        libc::setpriority(libc::PRIO_PROCESS, 0, 10);
    }
}
