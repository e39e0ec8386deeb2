//! The one-shot run: processes, their lists from `/proc`, a view, and an exit status.

use std::fs::File;
use std::io::Write;

use crate::cli::Snapshot;
use crate::proc::process::{List, Target};
use crate::proc::{ReadError, Rows, maps, smaps, sysv_minor};
use crate::view::{Format, Output, Renderer};

/// Exit status, as procps has it: an OR of these.
pub mod status {
    /// The mappings of a process could not be read.
    pub const FAILED: u8 = 1;
    /// A process was not there.
    pub const NOT_FOUND: u8 = 42;
}

/// Prints the processes in order, and returns the exit status. What goes wrong half-way is told to `complain`.
pub fn run<W: Write>(
    snapshot: &Snapshot,
    out: &mut Output<W>,
    mut complain: impl FnMut(&str),
) -> u8 {
    let view = &snapshot.options.view;
    let json = snapshot.options.json;
    let mut renderer = if json { Renderer::json(view) } else { Renderer::text(view) };
    let source = Source::new(&view.format, json);
    let sysv_minor = sysv_minor();
    let mut exit = 0;
    for &pid in &snapshot.pids {
        if out.failed() {
            break;
        }
        let Some(mut target) = Target::open(pid, view.charset, sysv_minor) else {
            exit |= status::NOT_FOUND;
            continue;
        };
        if let Err(why) = print(&mut target, source, &mut renderer, out) {
            exit |= status::FAILED;
            // A file that may not be opened is told by the exit status alone, as in procps.
            if let ReadError::Line(_) = why {
                complain(&format!("process {}: {why}", target.head().pid));
            }
        }
    }
    exit
}

/// Where the mappings come from: the cheapest file that knows what is printed.
#[derive(Clone, Copy)]
enum Source {
    Maps,
    /// smaps, and of it what `-x` sums.
    RssAndDirty,
    /// smaps, all of it.
    Smaps,
}

impl Source {
    fn new(format: &Format, json: bool) -> Self {
        match format {
            Format::Details(_) => Self::Smaps,
            Format::Default if json => Self::Smaps,
            Format::Extended => Self::RssAndDirty,
            Format::Default | Format::Device => Self::Maps,
        }
    }

    const fn list(self) -> List {
        match self {
            Self::Maps => List::Maps,
            Self::RssAndDirty | Self::Smaps => List::Smaps,
        }
    }
}

/// Prints one process.
fn print<W: Write>(
    target: &mut Target,
    source: Source,
    renderer: &mut Renderer,
    out: &mut Output<W>,
) -> Result<(), ReadError> {
    let file = match target.open_list(source.list()) {
        Ok(file) => file,
        Err(error) => {
            renderer.head(out, target.head());
            renderer.unreadable(out, &error.to_string());
            return Err(error.into());
        }
    };
    match source {
        Source::Maps => print_list(target, source.list(), file, maps::Reader::new, renderer, out),
        Source::RssAndDirty => {
            let open = |file| smaps::Reader::new(file, is_rss_or_dirty);
            print_list(target, source.list(), file, open, renderer, out)
        }
        Source::Smaps => {
            let open = |file| smaps::Reader::new(file, |_| true);
            print_list(target, source.list(), file, open, renderer, out)
        }
    }
}

/// The fields of smaps that `-x` prints or sums.
fn is_rss_or_dirty(key: &[u8]) -> bool {
    matches!(key, b"Rss" | b"Shared_Dirty" | b"Private_Dirty")
}

/// Prints one list, or that of another thread where the first one has ended.
fn print_list<L: Rows, W: Write>(
    target: &mut Target,
    list: List,
    file: File,
    open: impl Fn(File) -> L,
    renderer: &mut Renderer,
    out: &mut Output<W>,
) -> Result<(), ReadError> {
    let mut rows = open(file);
    if rows.is_empty()?
        && let Some(file) = target.open_survivor_list(list)
    {
        rows = open(file);
    }
    renderer.head(out, target.head());
    renderer.begin(out);
    let result = print_rows(&mut rows, renderer, out);
    renderer.end(out);
    result
}

/// Prints what is left of a list.
fn print_rows<L: Rows, W: Write>(
    rows: &mut L,
    renderer: &mut Renderer,
    out: &mut Output<W>,
) -> Result<(), ReadError> {
    while let Some((mapping, details)) = rows.next_row()? {
        renderer.row(out, &mapping, &details);
    }
    Ok(())
}
