//! `-X`, `-XX` and `-c`: whatever fields the kernel's smaps has, a column each.
//!
//! Columns are as wide as their widest cell, so the rows wait, packed, until the last has come; the
//! source is read once, and what the footer sums is what the rows show.

use std::io::Write;

use super::name::base_name;
use super::number::{decimal_width, hex_width, push_decimal, push_hex, push_repeated, push_right};
use super::packed::Packed;
use super::short::Sum;
use super::{Columns, Options, Output, Range};
use crate::model::{Details, Keys, Mapping};
use crate::text::{Charset, push_printable};

/// The columns left of the details, as they are headed.
const LEFT: [&[u8]; 5] = [b"Address", b"Perm", b"Offset", b"Device", b"Inode"];

/// A long format in the middle of its work.
pub struct Table {
    columns: Columns,
    quiet: bool,
    full_path: bool,
    range: Range,
    charset: Charset,
    keys: Keys,
    shown: Vec<Shown>,
    left_widths: [usize; LEFT.len()],
    flags_width: Option<usize>,
    seen: bool,
    rows: Packed,
}

/// A column of details.
#[derive(Clone, Copy, Default)]
struct Shown {
    visible: bool,
    total: Sum,
    width: usize,
}

impl Table {
    /// As the options say.
    pub(super) fn new(columns: Columns, options: &Options) -> Self {
        Self {
            columns,
            quiet: options.quiet,
            full_path: options.full_path,
            range: options.range,
            charset: options.charset,
            keys: Keys::new(),
            shown: Vec::new(),
            left_widths: [0; LEFT.len()],
            flags_width: None,
            seen: false,
            rows: Packed::default(),
        }
    }

    /// Keeps a mapping. One outside the range still widens the columns on the left, as in procps.
    pub(super) fn row(&mut self, mapping: &Mapping<'_>, details: &Details<'_>) {
        self.seen = true;
        let device = mapping.device;
        let widths = [
            hex_width(mapping.start).max(8),
            4,
            hex_width(mapping.offset).max(8),
            hex_width(device.major.into()).max(2) + 1 + hex_width(device.minor.into()).max(2),
            decimal_width(mapping.inode),
        ];
        for (width, new) in self.left_widths.iter_mut().zip(widths) {
            *width = new.max(*width);
        }
        if let Some(flags) = details.flags {
            self.flags_width = Some(flags.len().max(self.flags_width.unwrap_or(0)));
        }
        if self.keys.len() != details.keys.len() {
            self.learn_keys(details.keys);
        }
        if !self.range.touches(mapping) {
            return;
        }
        for (index, shown) in self.shown.iter_mut().enumerate() {
            let value = details.value(index);
            shown.total.add(value);
            shown.width = shown.width.max(value.map_or(1, decimal_width));
        }
        self.rows.push(mapping, details.flags.unwrap_or_default(), details.values);
    }

    /// Adds the columns of keys that were not known before.
    fn learn_keys(&mut self, keys: &Keys) {
        self.keys.clone_from(keys);
        let columns = &self.columns;
        let unknown_so_far = Shown { total: Sum::of_unknown(self.rows.len()), ..Shown::default() };
        self.shown.resize(keys.len(), unknown_so_far);
        for (shown, key) in self.shown.iter_mut().zip(keys.iter()) {
            shown.visible = columns.show(key);
        }
    }

    /// Prints all.
    pub(super) fn end<W: Write>(&mut self, out: &mut Output<W>) {
        if self.seen {
            self.settle_widths();
            if !self.quiet {
                self.push_header(out.row());
            }
            self.write_rows(out);
            if !self.quiet && self.shown.iter().any(|shown| shown.visible) {
                self.push_footer(out.row());
            }
        }
        self.keys = Keys::new();
        self.shown.clear();
        self.left_widths = [0; LEFT.len()];
        self.flags_width = None;
        self.seen = false;
        self.rows.clear();
    }

    /// Whether the column headed `name` is shown; the address always is.
    fn shows(&self, name: &[u8]) -> bool {
        name == LEFT[0] || self.columns.show(name)
    }

    /// Whether there is a column of flags.
    fn shows_flags(&self) -> bool {
        self.flags_width.is_some() && self.columns.show(b"VmFlags")
    }

    /// Makes room for headings and totals, where they are printed.
    fn settle_widths(&mut self) {
        if self.quiet {
            return;
        }
        for (width, heading) in self.left_widths.iter_mut().zip(LEFT) {
            *width = heading.len().max(*width);
        }
        self.flags_width = self.flags_width.map(|width| width.max(b"VmFlags".len()));
        for (shown, key) in self.shown.iter_mut().zip(self.keys.iter()) {
            shown.width = key.len().max(shown.total.width());
        }
    }

    fn push_header(&self, row: &mut Vec<u8>) {
        for (heading, width) in LEFT.iter().zip(self.left_widths) {
            if self.shows(heading) {
                push_right(row, heading, width);
                row.push(b' ');
            }
        }
        for (shown, key) in self.shown.iter().zip(self.keys.iter()) {
            if shown.visible {
                push_right(row, key, shown.width);
                row.push(b' ');
            }
        }
        if self.shows_flags() {
            push_right(row, b"VmFlags", self.flags_width.unwrap_or(0));
            row.push(b' ');
        }
        if self.shows(b"Mapping") {
            row.extend_from_slice(b"Mapping");
        }
        row.push(b'\n');
    }

    fn write_rows<W: Write>(&self, out: &mut Output<W>) {
        let [_, perm, offset, device, inode] = LEFT.map(|heading| self.shows(heading));
        let [address_width, perm_width, offset_width, device_width, inode_width] = self.left_widths;
        let flags_width = self.flags_width.filter(|_| self.shows_flags());
        let names = self.shows(b"Mapping");
        let mut values = Vec::new();
        let mut rows = self.rows.rows();
        while let Some(super::packed::Row { mapping, flags }) = rows.next(&mut values) {
            if out.failed() {
                return;
            }
            let row = out.row();
            push_repeated(row, b' ', address_width - hex_width(mapping.start).max(8));
            push_hex(row, mapping.start, 8);
            if perm {
                row.push(b' ');
                push_right(row, &mapping.perms.kernel(), perm_width);
            }
            if offset {
                push_repeated(row, b' ', 1 + offset_width - hex_width(mapping.offset).max(8));
                push_hex(row, mapping.offset, 8);
            }
            if device {
                let (major, minor) = (mapping.device.major.into(), mapping.device.minor.into());
                let width = hex_width(major).max(2) + 1 + hex_width(minor).max(2);
                push_repeated(row, b' ', 1 + device_width - width);
                push_hex(row, major, 2);
                row.push(b':');
                push_hex(row, minor, 2);
            }
            if inode {
                row.push(b' ');
                push_decimal(row, mapping.inode, inode_width);
            }
            for (index, shown) in self.shown.iter().enumerate() {
                if shown.visible {
                    row.push(b' ');
                    match values.get(index).copied().flatten() {
                        Some(value) => push_decimal(row, value, shown.width),
                        None => push_right(row, b"-", shown.width),
                    }
                }
            }
            if let Some(width) = flags_width {
                row.push(b' ');
                push_right(row, flags, width);
            }
            if names {
                row.push(b' ');
                push_printable(row, base_name(mapping.name, self.full_path), self.charset);
            }
            row.push(b'\n');
        }
    }

    fn push_footer(&self, row: &mut Vec<u8>) {
        let gap = LEFT
            .iter()
            .zip(self.left_widths)
            .filter(|(heading, _)| self.shows(heading))
            .map(|(_, width)| width + 1)
            .sum();
        push_repeated(row, b' ', gap);
        for shown in self.shown.iter().filter(|shown| shown.visible) {
            push_repeated(row, b'=', shown.width);
            row.push(b' ');
        }
        row.push(b'\n');
        push_repeated(row, b' ', gap);
        for shown in self.shown.iter().filter(|shown| shown.visible) {
            shown.total.push(row, shown.width);
            row.push(b' ');
        }
        row.extend_from_slice(b"KB \n");
    }
}
