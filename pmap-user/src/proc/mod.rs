//! Everything that is read from `/proc`, and nothing else reads it.
//!
//! Parsers take bytes and return the nouns of [`crate::model`]; they print nothing and decide nothing.

mod command;
mod lines;
pub mod maps;
pub mod process;
pub mod query;
pub mod smaps;
mod sysv;
pub mod text;

pub use sysv::sysv_minor;

use std::{io, time::Duration};

use procfs::{Current as _, Uptime, process::Process};
use thiserror::Error;

use crate::model::{Details, Mapping};

/// Why a list of mappings could not be read to its end.
#[derive(Debug, Error)]
pub enum ReadError {
    /// The kernel refused.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line has another form than the kernel's `show_map_vma` gives it.
    #[error("unknown form of the line '{}'; please report it", String::from_utf8_lossy(.0).escape_debug())]
    Line(Vec<u8>),
}

/// A list of mappings that is read one after another.
pub trait Rows {
    /// Whether there is none at all; to be asked before the first one is read.
    fn is_empty(&mut self) -> Result<bool, ReadError>;

    /// The next mapping, and what this list knows of it.
    fn next_row(&mut self) -> Result<Option<(Mapping<'_>, Details<'_>)>, ReadError>;
}

/// Major and minor number of the running kernel's release.
pub fn kernel_release() -> Option<(u16, u8)> {
    let version = procfs::sys::kernel::Version::current().ok()?;
    Some((version.major.into(), version.minor))
}

/// Name and release of the running kernel, as `uname -sr`.
pub fn kernel_name() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    Some(format!("Linux {}", text.trim_end()))
}

/// Whether our PIDs are those of the whole machine. Where `/proc` does not say, they are taken to be.
pub fn in_initial_pid_namespace() -> bool {
    /// `PROC_PID_INIT_INO` of `include/linux/proc_ns.h`.
    const INITIAL: u64 = 0xefff_fffc;
    std::fs::metadata("/proc/self/ns/pid")
        .map_or(true, |meta| std::os::unix::fs::MetadataExt::ino(&meta) == INITIAL)
}

/// How long ago this process began; not since its last exec. Where `/proc` does not say, long ago.
pub fn own_age() -> Duration {
    let age = || {
        let began = Process::myself().ok()?.stat().ok()?.starttime;
        let now = Uptime::current().ok()?.uptime_duration();
        now.checked_sub(Duration::from_secs_f64(began as f64 / procfs::ticks_per_second() as f64))
    };
    age().unwrap_or(Duration::MAX)
}
