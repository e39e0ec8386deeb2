//! `/proc/PID/smaps`: the line of maps, then a line a key (`fs/proc/task_mmu.c`, `show_smap`).
//!
//! The kernel writes some twenty-four lines a mapping, and always the same: keys padded to a column, values
//! right-aligned in eight digits. So where the wanted lines stood in one mapping is where they stand in the
//! next, and the rest need not be looked at; every wanted key is still checked, and whatever does not
//! fit is read again line by line. No key is known by name here: a new kernel's keys come through as they are.

use std::io::Read;

use super::lines::Window;
use super::maps::parse_line;
use super::text::{find, parse_decimal, skip_blanks};
use super::{ReadError, Rows};
use crate::model::{Details, Keys, Mapping};

/// What one read asks for, in bytes: less than a page. Asked for a page, the kernel makes one record
/// more than fits, throws it away, and makes it again for the next read; of a large mapping that is a
/// second walk of its pages (`fs/seq_file.c`, `seq_read_iter`).
const READ: usize = 2 << 10;

/// The key whose value is a list of words.
const FLAGS: &[u8] = b"VmFlags:";

/// By how much the lines of one mapping may be longer than those of the one before, usually: a few more flags.
const SPARE: usize = 32;

/// Where a wanted line stands, counted from the end of the first line of its mapping.
struct Place {
    offset: usize,
    key: usize,
}

/// The mappings of one process with their details.
pub struct Reader<R, F> {
    window: Window<R>,
    taken: usize,
    wanted: F,
    keys: Keys,
    values: Vec<Option<u64>>,
    places: Vec<Place>,
    flags_at: Option<usize>,
    /// How long the last mapping was without its first line.
    body: usize,
}

/// Where the parts of one mapping lie in the window.
struct Extent {
    head: usize,
    flags: Option<(usize, usize)>,
    total: usize,
}

impl<R: Read, F: Fn(&[u8]) -> bool> Reader<R, F> {
    /// Reads `file` from where it stands, and of each mapping the keys that are `wanted`.
    pub fn new(file: R, wanted: F) -> Self {
        Self {
            window: Window::with_reads_of(file, READ),
            taken: 0,
            wanted,
            keys: Keys::new(),
            values: Vec::new(),
            places: Vec::new(),
            flags_at: None,
            body: 0,
        }
    }

    /// Reads the values where the last mapping had them; `None` where one is not there, or where the window
    /// does not reach to the start of the next mapping.
    #[inline]
    fn read_at_places(&mut self, head: usize) -> Option<Extent> {
        let flags_at = self.flags_at?;
        let bytes = self.window.bytes();
        let body = bytes.get(head..)?;
        for place in &self.places {
            let key = self.keys.name(place.key);
            let line = body.get(place.offset..)?.strip_prefix(b"\n")?.strip_prefix(key)?;
            let (value, rest) = parse_decimal(skip_blanks(line.strip_prefix(b":")?))?;
            if !matches!(rest.first(), Some(b' ' | b'\n')) {
                return None;
            }
            self.values[place.key] = Some(value);
        }
        let flags = body.get(flags_at..)?.strip_prefix(b"\n")?.strip_prefix(FLAGS)?;
        let length = find(flags, b'\n')?;
        let from = head + flags_at + 1 + FLAGS.len();
        let total = from + length + 1;
        let complete = match bytes.get(total) {
            Some(&byte) => !is_key(byte),
            None => self.window.ended(),
        };
        complete.then_some(Extent { head, flags: Some((from, from + length)), total })
    }

    /// Reads every line of the mapping, and remembers where the wanted ones stand.
    fn read_by_line(&mut self, head: usize) -> Result<Extent, ReadError> {
        self.places.clear();
        self.flags_at = None;
        self.values.fill(None);
        let mut flags = None;
        let mut at = head;
        loop {
            // `at` is at the newline that ends the line before.
            while !self.window.ended()
                && find(self.window.bytes().get(at + 1..).unwrap_or(&[]), b'\n').is_none()
            {
                self.window.fill()?;
            }
            let bytes = self.window.bytes();
            let rest = bytes.get(at + 1..).unwrap_or(&[]);
            if !rest.first().is_some_and(|&byte| is_key(byte)) {
                return Ok(Extent { head, flags, total: (at + 1).min(bytes.len()) });
            }
            let length = find(rest, b'\n').unwrap_or(rest.len());
            let line = &rest[..length];
            self.flags_at = None;
            if line.starts_with(FLAGS) {
                flags = Some((at + 1 + FLAGS.len(), at + 1 + length));
                self.flags_at = Some(at - head);
            } else if let Some((key, value)) = parse_value(line)
                && (self.wanted)(key)
            {
                let key = self.keys.intern(key);
                self.values.resize(self.keys.len(), None);
                self.values[key] = Some(value);
                self.places.push(Place { offset: at - head, key });
            }
            at += 1 + length;
        }
    }
}

impl<R: Read, F: Fn(&[u8]) -> bool> Rows for Reader<R, F> {
    fn is_empty(&mut self) -> Result<bool, ReadError> {
        Ok(self.window.line()?.is_none())
    }

    #[inline]
    fn next_row(&mut self) -> Result<Option<(Mapping<'_>, Details<'_>)>, ReadError> {
        self.window.take(std::mem::take(&mut self.taken));
        let Some(head) = self.window.line()? else { return Ok(None) };
        // A read ends between two mappings, but whether this is one only the next byte can tell.
        while self.window.bytes().len() < head + self.body + SPARE && !self.window.ended() {
            self.window.fill()?;
        }
        let extent = match self.read_at_places(head) {
            Some(extent) => extent,
            None => self.read_by_line(head)?,
        };
        self.taken = extent.total;
        self.body = extent.total - extent.head;
        let bytes = self.window.bytes();
        let line = &bytes[..extent.head];
        let mapping = parse_line(line).ok_or_else(|| ReadError::Line(line.to_vec()))?;
        let flags = extent.flags.map(|(from, to)| bytes[from..to].trim_ascii());
        Ok(Some((mapping, Details { keys: &self.keys, values: &self.values, flags })))
    }
}

/// Whether a line that starts so belongs to the mapping before it: keys are capitalised, addresses are not.
const fn is_key(byte: u8) -> bool {
    byte.is_ascii_uppercase()
}

/// Parses `Rss:      12 kB` or `THPeligible:    0`; `None` where the value is no such number.
fn parse_value(line: &[u8]) -> Option<(&[u8], u64)> {
    let colon = find(line, b':')?;
    let (value, rest) = parse_decimal(skip_blanks(&line[colon + 1..]))?;
    matches!(rest.trim_ascii(), b"" | b"kB").then(|| (&line[..colon], value))
}
