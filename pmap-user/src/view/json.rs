//! `--json`: one object a process, on one line. `docs/json.md` is its schema.

use std::io::Write;

use super::number::{push_decimal, push_hex};
use super::{Columns, Format, Options, Output, Range};
use crate::model::{Details, Mapping, Process};

/// Name and version of the schema, in every object that is printed. The number grows when a field changes its meaning
/// or goes away; new fields may come at any time.
pub const SCHEMA: &str = "pmap/1";

/// A snapshot in the middle of its work.
pub struct Snapshot {
    columns: Columns,
    range: Range,
    rows: u64,
    kib: u64,
}

impl Snapshot {
    /// As the options say: the format decides which of the smaps fields are there.
    pub(super) fn new(options: &Options) -> Self {
        let columns = match &options.format {
            Format::Default => Columns::All,
            Format::Device => Columns::Chosen(Vec::new()),
            Format::Extended => Columns::Chosen(vec![
                b"Rss".into(),
                b"Shared_Dirty".into(),
                b"Private_Dirty".into(),
            ]),
            Format::Details(columns) => columns.clone(),
        };
        Self { columns, range: options.range, rows: 0, kib: 0 }
    }

    /// Starts a process.
    pub(super) fn head<W: Write>(&mut self, out: &mut Output<W>, process: &Process) {
        (self.rows, self.kib) = (0, 0);
        let row = out.row();
        row.extend_from_slice(b"{\"schema\":");
        push_json_string(row, SCHEMA.as_bytes());
        row.extend_from_slice(b",\"type\":\"snapshot\",\"pid\":");
        push_decimal(row, process.pid.into(), 0);
        row.extend_from_slice(b",\"command\":");
        push_json_string(row, &process.command);
    }

    /// Starts the mappings.
    pub(super) fn begin<W: Write>(&mut self, out: &mut Output<W>) {
        out.row().extend_from_slice(b",\"mappings\":[");
    }

    /// Prints a mapping.
    pub(super) fn row<W: Write>(
        &mut self,
        out: &mut Output<W>,
        mapping: &Mapping<'_>,
        details: &Details<'_>,
    ) {
        if !self.range.touches(mapping) {
            return;
        }
        let row = out.row();
        if self.rows > 0 {
            row.push(b',');
        }
        self.rows += 1;
        self.kib += mapping.kib();
        let Mapping { start, end, perms, offset, device, inode, name } = *mapping;
        row.extend_from_slice(b"{\"start\":\"0x");
        push_hex(row, start, 1);
        row.extend_from_slice(b"\",\"end\":\"0x");
        push_hex(row, end, 1);
        row.extend_from_slice(b"\",\"perms\":\"");
        row.extend_from_slice(&perms.kernel());
        row.extend_from_slice(b"\",\"offset\":\"0x");
        push_hex(row, offset, 1);
        row.extend_from_slice(b"\",\"device\":\"");
        push_hex(row, device.major.into(), 2);
        row.push(b':');
        push_hex(row, device.minor.into(), 2);
        row.extend_from_slice(b"\",\"inode\":");
        push_decimal(row, inode, 0);
        row.extend_from_slice(b",\"name\":");
        push_json_string(row, name);
        if std::str::from_utf8(name).is_err() {
            row.extend_from_slice(b",\"name_hex\":\"");
            for &byte in name {
                push_hex(row, byte.into(), 2);
            }
            row.push(b'"');
        }
        row.extend_from_slice(b",\"kib\":");
        push_decimal(row, mapping.kib(), 0);
        for (index, key) in details.keys.iter().enumerate() {
            if !self.columns.show(key) {
                continue;
            }
            row.push(b',');
            push_json_string(row, key);
            row.push(b':');
            match details.value(index) {
                Some(value) => push_decimal(row, value, 0),
                None => row.extend_from_slice(b"null"),
            }
        }
        if let Some(flags) = details.flags.filter(|_| self.columns.show(b"VmFlags")) {
            row.extend_from_slice(b",\"VmFlags\":[");
            for (index, word) in
                flags.split(|&byte| byte == b' ').filter(|word| !word.is_empty()).enumerate()
            {
                if index > 0 {
                    row.push(b',');
                }
                push_json_string(row, word);
            }
            row.push(b']');
        }
        row.push(b'}');
    }

    /// Closes the object.
    pub(super) fn end<W: Write>(&mut self, out: &mut Output<W>) {
        let row = out.row();
        row.extend_from_slice(b"],\"total\":{\"mappings\":");
        push_decimal(row, self.rows, 0);
        row.extend_from_slice(b",\"kib\":");
        push_decimal(row, self.kib, 0);
        row.extend_from_slice(b"}}\n");
    }

    /// Closes the object of a process whose mappings could not be read.
    pub(super) fn unreadable<W: Write>(&mut self, out: &mut Output<W>, why: &str) {
        let row = out.row();
        row.extend_from_slice(b",\"mappings\":null,\"error\":");
        push_json_string(row, why.as_bytes());
        row.extend_from_slice(b"}\n");
    }
}

/// Appends a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD.
pub fn push_json_string(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    if text.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')) {
        out.extend_from_slice(text);
        out.push(b'"');
        return;
    }
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\0'..' ' | '\x7f'..'\u{a0}' => {
                    out.extend_from_slice(b"\\u");
                    push_hex(out, u32::from(character).into(), 4);
                }
                _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}
