//! `/proc/PID/maps`: a line a mapping (`fs/proc/task_mmu.c`, `show_map_vma`).

use std::io::Read;

use super::lines::Window;
use super::text::{parse_decimal, parse_digits, parse_hex, skip_blanks};
use super::{ReadError, Rows};
use crate::model::{Details, Device, Mapping, Perms};

/// Parses one line, without its newline. `None` where it has another form.
#[inline]
pub fn parse_line(line: &[u8]) -> Option<Mapping<'_>> {
    parse_usual(line).or_else(|| parse_any(line))
}

/// Parses a line whose columns stand where nearly all lines of 64-bit programs have them: addresses of twelve
/// digits, an offset of eight, a device of two and two. `None` for any other.
#[inline]
fn parse_usual(line: &[u8]) -> Option<Mapping<'_>> {
    let (columns, rest) = line.split_first_chunk::<46>()?;
    let marks = [columns[12], columns[25], columns[30], columns[39], columns[42], columns[45]];
    if marks != *b"-   : " {
        return None;
    }
    let start = parse_digits::<12>(columns.first_chunk()?)?;
    let end = parse_digits::<12>(columns[13..].first_chunk()?)?;
    let perms = parse_perms(columns[26..].first_chunk()?)?;
    let offset = parse_digits::<8>(columns[31..].first_chunk()?)?;
    let major = parse_digits::<2>(columns[40..].first_chunk()?)? as u32;
    let minor = parse_digits::<2>(columns[43..].first_chunk()?)? as u32;
    let (inode, rest) = parse_decimal(rest)?;
    if end <= start || !(rest.is_empty() || rest[0] == b' ') {
        return None;
    }
    let device = Device { major, minor };
    Some(Mapping { start, end, perms, offset, device, inode, name: skip_blanks(rest) })
}

/// Parses a line of any widths.
fn parse_any(line: &[u8]) -> Option<Mapping<'_>> {
    let (start, rest) = parse_hex(line)?;
    let (end, rest) = parse_hex(rest.strip_prefix(b"-")?)?;
    let (perms, rest) = rest.strip_prefix(b" ")?.split_first_chunk::<4>()?;
    let perms = parse_perms(perms)?;
    let (offset, rest) = parse_hex(rest.strip_prefix(b" ")?)?;
    let (major, rest) = parse_hex(rest.strip_prefix(b" ")?)?;
    let (minor, rest) = parse_hex(rest.strip_prefix(b":")?)?;
    let (inode, rest) = parse_decimal(rest.strip_prefix(b" ")?)?;
    if end <= start || !(rest.is_empty() || rest[0] == b' ') {
        return None;
    }
    let device = Device { major: major.try_into().ok()?, minor: minor.try_into().ok()? };
    Some(Mapping { start, end, perms, offset, device, inode, name: skip_blanks(rest) })
}

/// The four characters `rwxp`, each of which may be `-` but the last, which may be `s`.
#[inline]
fn parse_perms(text: &[u8; 4]) -> Option<Perms> {
    let mut bits = 0;
    for (index, letter) in b"rwxs".iter().enumerate() {
        match text[index] {
            byte if byte == *letter => bits |= 1 << index,
            b'-' | b'p' => {}
            _ => return None,
        }
    }
    Some(Perms::from_bits(bits))
}

/// The mappings of one process, in the order of their addresses.
pub struct Reader<R> {
    window: Window<R>,
    taken: usize,
}

impl<R: Read> Reader<R> {
    /// Reads `file` from where it stands.
    pub fn new(file: R) -> Self {
        Self { window: Window::new(file), taken: 0 }
    }
}

impl<R: Read> Rows for Reader<R> {
    fn is_empty(&mut self) -> Result<bool, ReadError> {
        Ok(self.window.line()?.is_none())
    }

    #[inline]
    fn next_row(&mut self) -> Result<Option<(Mapping<'_>, Details<'_>)>, ReadError> {
        self.window.take(std::mem::take(&mut self.taken));
        let Some(length) = self.window.line()? else { return Ok(None) };
        self.taken = length + 1;
        let line = &self.window.bytes()[..length];
        match parse_line(line) {
            Some(mapping) => Ok(Some((mapping, Details::NONE))),
            None => Err(ReadError::Line(line.to_vec())),
        }
    }
}
