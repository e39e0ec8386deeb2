//! The processes that are measured: hidden verbs, so that no C compiler is needed.
//!
//! Each says `ready` when it is set up. A holder then waits for the end of its input; a loop waits
//! for a line, runs, and prints the nanoseconds that one turn took. A stopwatch runs a program at once.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Subcommand;

use crate::command;

const PAGE: usize = 4096;
/// The size of a read that costs the least. The kernel formats records until the reader's size is
/// reached or its own page is full (`fs/seq_file.c`, `seq_read_iter`); a record that overflows the
/// page is thrown away and made again, in smaps with a second walk of its mapping's pages.
const READ: usize = 2048;

/// What the process does.
#[derive(Subcommand)]
pub(crate) enum Work {
    /// Hold mappings of one resident page each, and resident memory in one mapping.
    Hold {
        /// How many mappings.
        #[arg(long, default_value_t = 0)]
        mappings: usize,
        /// GiB of resident memory, in small pages.
        #[arg(long, default_value_t = 0)]
        resident_gib: usize,
    },
    /// Map and unmap a page, this many times.
    MmapLoop { turns: u32 },
    /// Call getppid, this many times.
    GetppidLoop { turns: u32 },
    /// Read a file and throw it away.
    Read { file: PathBuf },
    /// Run a program, and write into a file how many seconds passed from its start to its end.
    Stopwatch {
        file: PathBuf,
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
}

/// `cargo xtask worker`.
pub(crate) fn run(work: &Work) -> Result<()> {
    match work {
        Work::Hold { mappings, resident_gib } => hold(*mappings, *resident_gib),
        Work::MmapLoop { turns } => timed(*turns, map_and_unmap),
        Work::GetppidLoop { turns } => timed(*turns, || {
            // SAFETY: the call takes nothing and cannot fail.
            unsafe { libc::syscall(libc::SYS_getppid) };
            Ok(())
        }),
        Work::Read { file } => read(file),
        Work::Stopwatch { file, command } => stopwatch(file, command),
    }
}

fn hold(mappings: usize, resident_gib: usize) -> Result<()> {
    if mappings > 0 {
        let start = anonymous(mappings * PAGE)?;
        for page in (0..mappings).step_by(2) {
            // Neighbours that differ in their permissions do not merge.
            // SAFETY: the page is inside the mapping made above, which nothing else refers to.
            let result =
                unsafe { libc::mprotect(start.add(page * PAGE).cast(), PAGE, libc::PROT_READ) };
            if result != 0 {
                return Err(io::Error::last_os_error())
                    .context("cannot make another mapping: raise vm.max_map_count");
            }
        }
    }
    if resident_gib > 0 {
        anonymous(resident_gib << 30)?;
    }
    ready()?;
    io::stdin().read_to_end(&mut Vec::new()).context("cannot wait for the end of the input")?;
    Ok(())
}

/// Maps resident small pages.
fn anonymous(length: usize) -> Result<*mut u8> {
    let start = map(length)?;
    // SAFETY: the range is the mapping made above; the advice changes only the size of its pages.
    unsafe { libc::madvise(start.cast(), length, libc::MADV_NOHUGEPAGE) };
    for offset in (0..length).step_by(PAGE) {
        // SAFETY: the byte is inside the mapping made above, which is writable.
        unsafe { start.add(offset).write_volatile(1) };
    }
    Ok(start)
}

fn map(length: usize) -> Result<*mut u8> {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: no address is asked for, so no mapping of this process is replaced.
    let start = unsafe { libc::mmap(ptr::null_mut(), length, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error())
            .with_context(|| format!("cannot map {length} bytes"));
    }
    Ok(start.cast())
}

fn map_and_unmap() -> Result<()> {
    let start = map(PAGE)?;
    // SAFETY: the range is the mapping made above, which nothing refers to.
    if unsafe { libc::munmap(start.cast(), PAGE) } != 0 {
        return Err(io::Error::last_os_error()).context("cannot unmap a page");
    }
    Ok(())
}

fn timed(turns: u32, mut turn: impl FnMut() -> Result<()>) -> Result<()> {
    if turns == 0 {
        bail!("a loop needs at least one turn");
    }
    ready()?;
    io::stdin().read_line(&mut String::new()).context("cannot wait for the start")?;
    let start = Instant::now();
    for _ in 0..turns {
        turn()?;
    }
    println!("{}", start.elapsed().as_nanos() as f64 / f64::from(turns));
    Ok(())
}

fn read(path: &PathBuf) -> Result<()> {
    let context = || format!("cannot read {}", path.display());
    let mut file = File::open(path).with_context(context)?;
    let mut buffer = [0; READ];
    while file.read(&mut buffer).with_context(context)? > 0 {}
    Ok(())
}

fn stopwatch(file: &Path, words: &[String]) -> Result<()> {
    let [program, arguments @ ..] = words else { bail!("there is no program to run") };
    let start = Instant::now();
    command::run(Command::new(program).args(arguments))?;
    let seconds = start.elapsed().as_secs_f64();
    fs::write(file, seconds.to_string()).with_context(|| format!("cannot write {}", file.display()))
}

fn ready() -> Result<()> {
    println!("ready");
    io::stdout().flush().context("cannot say that it is ready")
}
