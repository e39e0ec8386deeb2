//! How a list of mappings looks. A view is pushed one mapping after another and knows nothing of where
//! they come from: from `/proc` or from a live table.
//!
//! A [`Renderer`] is driven so, once a process: [`head`](Renderer::head), then
//! [`begin`](Renderer::begin), a [`row`](Renderer::row) a mapping in the order of the addresses, and
//! [`end`](Renderer::end). It is ready for the next process then.

mod details;
mod json;
mod name;
mod number;
mod output;
mod packed;
mod short;
mod standing;
mod stream;
mod stream_json;

pub use json::{SCHEMA, push_json_string};
pub use output::Output;
pub use standing::Standing;
pub use stream::{Clock, Lines, Piece};
pub use stream_json::{push_change, push_summary};

use std::io::Write;

use crate::model::{Details, Mapping, Process};
use crate::text::Charset;

/// Which of the looks of `pmap`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Address, length, mode, name.
    #[default]
    Default,
    /// `-x`: with resident and dirty KiB.
    Extended,
    /// `-d`: with offset and device.
    Device,
    /// `-X`, `-XX`, `-c`: the fields of smaps as columns.
    Details(Columns),
}

impl Format {
    /// Whether it prints what only `/proc/PID/smaps` knows.
    pub const fn needs_details(&self) -> bool {
        matches!(self, Self::Extended | Self::Details(_))
    }
}

/// Which fields become columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Columns {
    /// `-X`: all but eight that few look at.
    Usual,
    /// `-XX`: all.
    All,
    /// `-c`, `-C`: those of this list; the address is always shown.
    Chosen(Vec<Vec<u8>>),
}

impl Columns {
    /// Whether the field `name` is shown.
    pub fn show(&self, name: &[u8]) -> bool {
        /// What `-X` leaves out.
        const UNUSUAL: [&[u8]; 8] = [
            b"AnonHugePages",
            b"KernelPageSize",
            b"MMUPageSize",
            b"Shared_Dirty",
            b"Private_Dirty",
            b"Shared_Clean",
            b"Private_Clean",
            b"VmFlags",
        ];
        match self {
            Self::Usual => !UNUSUAL.contains(&name),
            Self::All => true,
            Self::Chosen(list) => list.iter().any(|chosen| chosen == name),
        }
    }
}

/// Addresses of interest, both ends included, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// A mapping that ends at or before it is left out.
    pub low: u64,
    /// A mapping that starts after it is left out.
    pub high: u64,
}

impl Range {
    /// Every address.
    pub const ALL: Self = Self { low: 0, high: u64::MAX };

    /// Whether any byte of the mapping lies within.
    #[inline]
    pub const fn touches(self, mapping: &Mapping<'_>) -> bool {
        mapping.end.wrapping_sub(1) >= self.low && mapping.start <= self.high
    }
}

impl Default for Range {
    fn default() -> Self {
        Self::ALL
    }
}

/// What the options say of the look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// The look.
    pub format: Format,
    /// `-q`: no header and no footer.
    pub quiet: bool,
    /// `-p`: whole paths.
    pub full_path: bool,
    /// `-k`: the kernel's own names for mappings without a file.
    pub kernel_names: bool,
    /// `-A`.
    pub range: Range,
    /// What the user's terminal can show.
    pub charset: Charset,
}

/// One of the looks, in the middle of its work.
pub enum Renderer {
    /// Default, `-x`, `-d`: a row is printed as it comes.
    Short(short::Short),
    /// `-X`, `-XX`, `-c`: the widths need every row, so all is printed at the end.
    Details(details::Table),
    /// `--json`.
    Json(json::Snapshot),
}

impl Renderer {
    /// The text view that the options ask for.
    pub fn text(options: &Options) -> Self {
        match &options.format {
            Format::Default => Self::Short(short::Short::new(short::Look::Default, options)),
            Format::Extended => Self::Short(short::Short::new(short::Look::Extended, options)),
            Format::Device => Self::Short(short::Short::new(short::Look::Device, options)),
            Format::Details(columns) => {
                Self::Details(details::Table::new(columns.clone(), options))
            }
        }
    }

    /// One JSON object a process.
    pub fn json(options: &Options) -> Self {
        Self::Json(json::Snapshot::new(options))
    }

    /// Says which process it is. This much is printed even where its mappings may not be read.
    pub fn head<W: Write>(&mut self, out: &mut Output<W>, process: &Process) {
        match self {
            Self::Short(view) => view.head(out, process),
            Self::Details(_) => short::push_head(out.row(), process),
            Self::Json(view) => view.head(out, process),
        }
    }

    /// As [`head`](Self::head), for a live table.
    pub fn head_live<W: Write>(
        &mut self,
        out: &mut Output<W>,
        process: &Process,
        standing: &Standing,
    ) {
        match self {
            Self::Short(_) | Self::Details(_) => {
                standing.push_text(out.row(), process.pid);
                self.head(out, process);
            }
            Self::Json(view) => {
                view.head(out, process);
                standing.push_json(out.row());
            }
        }
    }

    /// Prints what stands above the mappings.
    pub fn begin<W: Write>(&mut self, out: &mut Output<W>) {
        match self {
            Self::Short(view) => view.begin(out),
            Self::Details(_) => {}
            Self::Json(view) => view.begin(out),
        }
    }

    /// Takes one mapping; those outside the range are left out here.
    #[inline]
    pub fn row<W: Write>(
        &mut self,
        out: &mut Output<W>,
        mapping: &Mapping<'_>,
        details: &Details<'_>,
    ) {
        match self {
            Self::Short(view) => view.row(out, mapping, details),
            Self::Details(view) => view.row(mapping, details),
            Self::Json(view) => view.row(out, mapping, details),
        }
    }

    /// Prints what stands below the mappings, and forgets them.
    pub fn end<W: Write>(&mut self, out: &mut Output<W>) {
        match self {
            Self::Short(view) => view.end(out),
            Self::Details(view) => view.end(out),
            Self::Json(view) => view.end(out),
        }
    }

    /// Instead of [`begin`](Self::begin) to [`end`](Self::end): the mappings could not be read.
    pub fn unreadable<W: Write>(&mut self, out: &mut Output<W>, why: &str) {
        if let Self::Json(view) = self {
            view.unreadable(out, why);
        }
    }
}
