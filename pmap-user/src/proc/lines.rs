//! A window over a file of `/proc`, filled with large reads and handed out without copies.
//!
//! `seq_file` (`fs/seq_file.c`) returns at most a page of whole records a read, whatever is asked for;
//! only a record that is longer than a page makes its buffer grow. So the window is read into as it
//! is: there is nothing to gain from a larger one, and a line of any length fits in the end.

use std::io::{self, Read};

use super::text::find;

/// What one read asks for, in bytes.
const READ: usize = 8 << 10;

/// The window.
pub(super) struct Window<R> {
    file: R,
    /// What one read asks for at the most.
    most: usize,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    ended: bool,
}

impl<R: Read> Window<R> {
    /// A window at the start of `file`.
    pub(super) fn new(file: R) -> Self {
        Self::with_reads_of(file, READ)
    }

    /// As [`new`](Self::new), with reads of at most `most` bytes.
    pub(super) fn with_reads_of(file: R, most: usize) -> Self {
        Self { file, most, buffer: vec![0; 2 * READ], start: 0, end: 0, ended: false }
    }

    /// What has been read and not yet taken.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Whether the end of the file has been seen.
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }

    /// Moves past the first `count` bytes.
    pub(super) fn take(&mut self, count: usize) {
        self.start = self.end.min(self.start + count);
    }

    /// Reads once more, behind what is there. At the end of the file, notes it.
    ///
    /// A process that goes away while its list is read ends the list (`ESRCH`), as an end of file
    /// does: what was read before is still true.
    pub(super) fn fill(&mut self) -> io::Result<()> {
        if self.buffer.len() - self.end < READ {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.buffer.len() - self.end < READ {
                self.buffer.resize(self.buffer.len() * 2, 0);
            }
        }
        let count = loop {
            let room = &mut self.buffer[self.end..];
            let len = room.len().min(self.most);
            match self.file.read(&mut room[..len]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => break 0,
                result => break result?,
            }
        };
        self.end += count;
        self.ended = count == 0;
        Ok(())
    }

    /// Length of the first line without its newline; the whole rest where the file ends without one,
    /// `None` where nothing is left.
    pub(super) fn line(&mut self) -> io::Result<Option<usize>> {
        let mut searched = 0;
        loop {
            if let Some(at) = find(&self.bytes()[searched..], b'\n') {
                return Ok(Some(searched + at));
            }
            searched = self.bytes().len();
            if self.ended {
                return Ok((searched > 0).then_some(searched));
            }
            self.fill()?;
        }
    }
}
