//! The way out: a large buffer that keeps the first error until somebody asks.

use std::io::{self, Write};

/// From which size on the buffer is written out, in bytes.
const FULL: usize = 64 << 10;

/// A buffer before a [`Write`].
///
/// As with C's standard output, an error is kept, later text is dropped, and [`flush`](Self::flush) tells.
pub struct Output<W> {
    buffer: Vec<u8>,
    writer: W,
    error: Option<io::Error>,
}

impl<W: Write> Output<W> {
    /// In front of `writer`.
    pub fn new(writer: W) -> Self {
        Self { buffer: Vec::with_capacity(FULL + 4096), writer, error: None }
    }

    /// Where the next row is to be appended.
    #[inline]
    pub fn row(&mut self) -> &mut Vec<u8> {
        if self.buffer.len() >= FULL {
            self.write_out();
        }
        &mut self.buffer
    }

    /// Whether writing has failed, so that going on is of no use.
    pub const fn failed(&self) -> bool {
        self.error.is_some()
    }

    /// Writes what is left: the first error, if there was one.
    pub fn flush(&mut self) -> io::Result<()> {
        self.write_out();
        if self.error.is_none() {
            self.error = self.writer.flush().err();
        }
        self.error.take().map_or(Ok(()), Err)
    }

    /// Empties the buffer.
    fn write_out(&mut self) {
        if self.error.is_none() {
            self.error = self.writer.write_all(&self.buffer).err();
        }
        self.buffer.clear();
    }
}
