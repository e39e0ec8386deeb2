//! Many rows in little memory, for a format that can print none before it has seen all.
//!
//! A row is a run of variable-length numbers in one buffer: small figures, which most are, take a byte.
//! Names and flags repeat from row to row, so a row only holds which one.

use crate::model::{Device, Mapping, Perms};

/// Rows, in the order in which they were pushed.
#[derive(Default)]
pub(super) struct Packed {
    bytes: Vec<u8>,
    rows: usize,
    names: Texts,
    flags: Texts,
}

/// A row as it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row<'a> {
    /// The mapping.
    pub(super) mapping: Mapping<'a>,
    /// Its flags.
    pub(super) flags: &'a [u8],
}

/// Reads rows back.
pub(super) struct Rows<'a> {
    packed: &'a Packed,
    rest: &'a [u8],
    left: usize,
}

impl Packed {
    /// Appends a row, of which every value but the first `values.len()` is unknown.
    pub(super) fn push(&mut self, mapping: &Mapping<'_>, flags: &[u8], values: &[Option<u64>]) {
        let name = self.names.intern(mapping.name);
        let flags = self.flags.intern(flags);
        let Mapping { start, end, perms, offset, device: Device { major, minor }, inode, name: _ } =
            *mapping;
        let bits = perms.bits().into();
        for number in [start, end, bits, offset, major.into(), minor.into(), inode, name, flags] {
            push_number(&mut self.bytes, number);
        }
        push_number(&mut self.bytes, values.len() as u64);
        for value in values {
            // Zero is "not known", so every known value is one more; the largest is never reached.
            push_number(&mut self.bytes, value.map_or(0, |value| value.saturating_add(1)));
        }
        self.rows += 1;
    }

    /// From the first row on.
    pub(super) fn rows(&self) -> Rows<'_> {
        Rows { packed: self, rest: &self.bytes, left: self.rows }
    }

    /// How many rows there are.
    pub(super) const fn len(&self) -> usize {
        self.rows
    }

    /// Forgets all rows, and keeps the memory for the next ones.
    pub(super) fn clear(&mut self) {
        let Self { bytes, rows, names, flags } = self;
        bytes.clear();
        *rows = 0;
        names.clear();
        flags.clear();
    }
}

impl<'a> Rows<'a> {
    /// The next row; its values go into `values`.
    pub(super) fn next(&mut self, values: &mut Vec<Option<u64>>) -> Option<Row<'a>> {
        self.left = self.left.checked_sub(1)?;
        let mut number = || take_number(&mut self.rest);
        let (start, end, perms, offset) = (number(), number(), number(), number());
        let device = Device { major: number() as u32, minor: number() as u32 };
        let inode = number();
        let name = self.packed.names.get(number());
        let flags = self.packed.flags.get(number());
        let count = number();
        values.clear();
        values.extend((0..count).map(|_| number().checked_sub(1)));
        let perms = Perms::from_bits(perms as u8);
        Some(Row { mapping: Mapping { start, end, perms, offset, device, inode, name }, flags })
    }
}

/// Texts that repeat: equal ones close to each other are kept once.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Texts {
    /// How far back a text is looked for.
    const NEAR: usize = 24;

    /// The number of `text`, after keeping it if it is not among the last ones.
    fn intern(&mut self, text: &[u8]) -> u64 {
        let count = self.ends.len();
        let known =
            (count.saturating_sub(Self::NEAR)..count).rev().find(|&at| self.get(at as u64) == text);
        let index = known.unwrap_or_else(|| {
            self.bytes.extend_from_slice(text);
            self.ends.push(self.bytes.len());
            count
        });
        index as u64
    }

    /// The text with this number.
    fn get(&self, index: u64) -> &[u8] {
        let index = index as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }
}

/// Appends seven bits a byte, the lowest first; the top bit says that more follow.
#[inline]
fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes what [`push_number`] wrote.
#[inline]
fn take_number(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    let mut shift = 0;
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 || shift > 63 {
            break;
        }
    }
    number
}
