//! The default format, `-x` and `-d`: fixed columns, a row as soon as it is known.

use std::io::Write;

use super::name::Naming;
use super::number::{
    decimal_width, push_address, push_cell, push_decimal, push_device, push_right,
};
use super::{Options, Output, Range};
use crate::model::{Details, Mapping, Perms, Process};

/// Which of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Default,
    Extended,
    Device,
}

/// A short format in the middle of its work.
pub struct Short {
    look: Look,
    quiet: bool,
    range: Range,
    naming: Naming,
    totals: Totals,
}

/// Sums over the rows of one process.
#[derive(Default)]
struct Totals {
    /// All lengths, in KiB.
    mapped: u64,
    /// Lengths of what is private and writable, in KiB.
    private: u64,
    /// Lengths of what is shared, in KiB.
    shared: u64,
    rss: Sum,
    dirty: Sum,
}

/// A sum of figures of which some may be unknown.
#[derive(Clone, Copy, Default)]
pub(super) struct Sum {
    known: u64,
    rows_known: u64,
    rows_unknown: u64,
}

impl Sum {
    /// Of this many rows, none of them known.
    pub(super) const fn of_unknown(rows: usize) -> Self {
        Self { known: 0, rows_known: 0, rows_unknown: rows as u64 }
    }

    /// Adds one figure.
    #[inline]
    pub(super) const fn add(&mut self, figure: Option<u64>) {
        match figure {
            Some(figure) => {
                self.known = self.known.saturating_add(figure);
                self.rows_known += 1;
            }
            None => self.rows_unknown += 1,
        }
    }

    /// How many characters it takes.
    pub(super) fn width(self) -> usize {
        match (self.rows_known, self.rows_unknown) {
            (_, 0) => decimal_width(self.known),
            (0, _) => 1,
            _ => decimal_width(self.known) + 1,
        }
    }

    /// Appends it: `12`, or `12+` where it is a lower bound, or `-` where no row is known.
    pub(super) fn push(self, out: &mut Vec<u8>, width: usize) {
        match (self.rows_known, self.rows_unknown) {
            (_, 0) => push_decimal(out, self.known, width),
            (0, _) => push_right(out, b"-", width),
            _ => {
                push_decimal(out, self.known, width - 1);
                out.push(b'+');
            }
        }
    }
}

/// Appends the line that says which process it is.
pub(super) fn push_head(out: &mut Vec<u8>, process: &Process) {
    push_decimal(out, process.pid.into(), 0);
    out.extend_from_slice(b":   ");
    out.extend_from_slice(&process.command);
    out.push(b'\n');
}

impl Short {
    /// As the options say.
    pub(super) fn new(look: Look, options: &Options) -> Self {
        Self {
            look,
            quiet: options.quiet,
            range: options.range,
            naming: Naming::new(options),
            totals: Totals::default(),
        }
    }

    /// Starts a process.
    pub(super) fn head<W: Write>(&mut self, out: &mut Output<W>, process: &Process) {
        self.totals = Totals::default();
        self.naming.set_process(process);
        push_head(out.row(), process);
    }

    /// Prints the headings.
    pub(super) fn begin<W: Write>(&mut self, out: &mut Output<W>) {
        if !self.quiet {
            out.row().extend_from_slice(match self.look {
                Look::Default => b"",
                Look::Extended => b"Address           Kbytes     RSS   Dirty Mode  Mapping\n",
                Look::Device => {
                    b"Address           Kbytes Mode  Offset           Device    Mapping\n"
                }
            });
        }
    }

    /// Prints a mapping.
    #[inline]
    pub(super) fn row<W: Write>(
        &mut self,
        out: &mut Output<W>,
        mapping: &Mapping<'_>,
        details: &Details<'_>,
    ) {
        if !self.range.touches(mapping) {
            return;
        }
        let kib = mapping.kib();
        self.totals.mapped += kib;
        if mapping.perms.contains(Perms::SHARED) {
            self.totals.shared += kib;
        } else if mapping.perms.contains(Perms::WRITE) {
            self.totals.private += kib;
        }
        let [read, write, execute, kind] = mapping.perms.kernel();
        let mode = [b' ', read, write, execute, if kind == b's' { b's' } else { b'-' }, b'-', b' '];

        let row = out.row();
        push_address(row, mapping.start);
        row.push(b' ');
        match self.look {
            Look::Default => {
                push_cell::<6>(row, kib);
                row.push(b'K');
                row.extend_from_slice(&mode);
            }
            Look::Extended => {
                push_cell::<7>(row, kib);
                for (figure, sum) in [
                    (details.rss(), &mut self.totals.rss),
                    (details.dirty(), &mut self.totals.dirty),
                ] {
                    sum.add(figure);
                    row.push(b' ');
                    match figure {
                        Some(figure) => push_cell::<7>(row, figure),
                        None => push_right(row, b"-", 7),
                    }
                }
                row.extend_from_slice(&mode);
            }
            Look::Device => {
                push_cell::<7>(row, kib);
                row.extend_from_slice(&mode);
                push_address(row, mapping.offset);
                row.push(b' ');
                push_device(row, mapping.device);
                row.push(b' ');
            }
        }
        self.naming.push(row, mapping);
        row.push(b'\n');
    }

    /// Prints the totals.
    pub(super) fn end<W: Write>(&mut self, out: &mut Output<W>) {
        let Totals { mapped, private, shared, rss, dirty } = std::mem::take(&mut self.totals);
        if self.quiet {
            return;
        }
        let row = out.row();
        match self.look {
            Look::Default => {
                row.extend_from_slice(b" total ");
                push_decimal(row, mapped, 16);
                row.push(b'K');
            }
            Look::Extended => {
                row.extend_from_slice(b"---------------- ------- ------- ------- \n");
                row.extend_from_slice(b"total kB         ");
                push_decimal(row, mapped, 7);
                row.push(b' ');
                rss.push(row, 7);
                row.push(b' ');
                dirty.push(row, 7);
            }
            Look::Device => {
                row.extend_from_slice(b"mapped: ");
                push_decimal(row, mapped, 0);
                row.extend_from_slice(b"K    writeable/private: ");
                push_decimal(row, private, 0);
                row.extend_from_slice(b"K    shared: ");
                push_decimal(row, shared, 0);
                row.push(b'K');
            }
        }
        row.push(b'\n');
    }
}
