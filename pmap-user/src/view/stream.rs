//! The lines of `--follow`: one for each piece of a change.

use super::name::Naming;
use super::number::{push_decimal, push_hex};
use super::{Options, Range};
use crate::live::{Call, Change, Op, Reason, Totals};
use crate::model::{Mapping, Perms, Process};
use crate::text::push_printable;

/// What became of a stretch of addresses, in the nouns of the model.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// Came to be mapped.
    Added(Mapping<'a>),
    /// Ceased to be mapped.
    Removed(Mapping<'a>),
    /// Is mapped in another way: before, after.
    Changed(Mapping<'a>, Mapping<'a>),
}

impl<'a> Piece<'a> {
    /// The mapping as it is now; as it was, where it is gone.
    pub(super) const fn now(&self) -> &Mapping<'a> {
        match self {
            Self::Added(mapping) | Self::Removed(mapping) | Self::Changed(_, mapping) => mapping,
        }
    }

    /// How a line shows it.
    pub(super) const fn sign(&self) -> u8 {
        match self {
            Self::Added(_) => b'+',
            Self::Removed(_) => b'-',
            Self::Changed(..) => b'~',
        }
    }
}

/// The clock on the user's wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// ns from `CLOCK_MONOTONIC` to the time since 1970, in UTC.
    pub to_utc: u64,
    /// ns from UTC to local time.
    pub to_local: i64,
}

/// Prints changes as lines.
pub struct Lines {
    clock: Clock,
    colour: bool,
    charset: crate::text::Charset,
    range: Range,
    naming: Naming,
}

const RESET: &[u8] = b"\x1b[0m";

impl Lines {
    /// As the options say.
    pub fn new(options: &Options, clock: Clock, colour: bool) -> Self {
        Self {
            clock,
            colour,
            charset: options.charset,
            range: options.range,
            naming: Naming::new(options),
        }
    }

    /// Appends the lines of a change. `process` is whose mappings they are.
    pub fn push(
        &mut self,
        out: &mut Vec<u8>,
        change: &Change,
        pieces: &[Piece<'_>],
        process: &Process,
    ) {
        self.naming.set_process(process);
        let mut told = false;
        for piece in pieces.iter().filter(|piece| self.range.touches(piece.now())) {
            told = true;
            self.push_head(out, change);
            self.push_piece(out, piece);
            push_note(out, change);
            self.end(out);
        }
        if !told && (pieces.is_empty() || self.range == Range::ALL) {
            self.push_head(out, change);
            push_event(out, change);
            self.end(out);
        }
    }

    /// Appends the line at the end.
    pub fn push_summary(&self, out: &mut Vec<u8>, totals: &Totals, drift: u64) {
        let count: u64 = totals.changes.values().sum();
        out.extend_from_slice(b"# ");
        push_decimal(out, count, 0);
        out.extend_from_slice(b" changes (");
        for (index, (name, count)) in totals.changes.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            out.extend_from_slice(name.as_bytes());
            out.push(b' ');
            push_decimal(out, *count, 0);
        }
        out.extend_from_slice(b"), mapped ");
        push_decimal(out, totals.mapped >> 10, 0);
        out.extend_from_slice(b"K, unmapped ");
        push_decimal(out, totals.unmapped >> 10, 0);
        out.extend_from_slice(b"K, versions ");
        push_decimal(out, totals.versions, 0);
        out.extend_from_slice(b", read again ");
        push_decimal(out, totals.rereads.values().sum(), 0);
        push_reasons(out, totals.rereads.iter().map(|(reason, count)| (*reason, *count)));
        out.extend_from_slice(b", lost ");
        push_decimal(out, totals.lost, 0);
        if totals.unknown > 0 {
            out.extend_from_slice(b", unknown records ");
            push_decimal(out, totals.unknown, 0);
        }
        out.extend_from_slice(b", drift: ");
        push_decimal(out, drift, 0);
        out.push(b'\n');
    }

    fn push_head(&self, out: &mut Vec<u8>, change: &Change) {
        if self.colour {
            out.extend_from_slice(match change.op {
                Op::Reread(_) | Op::OtherCall { .. } | Op::Other => b"\x1b[33m",
                Op::Exec | Op::Fork { .. } | Op::Exit { .. } => b"\x1b[36m",
                Op::Call(_) | Op::Stack => b"",
            });
        }
        self.push_time(out, change.time);
        out.push(b' ');
        push_decimal(out, change.pid.into(), 7);
        out.push(b'/');
        let from = out.len();
        push_decimal(out, change.tid.into(), 0);
        pad(out, from, 7);
        out.push(b' ');
        let from = out.len();
        let comm = change.comm.split(|byte| *byte == 0).next().unwrap_or_default();
        push_printable(out, comm, self.charset);
        pad(out, from, 15);
        out.push(b' ');
        let from = out.len();
        out.extend_from_slice(change.name().as_bytes());
        if let Op::OtherCall { nr, .. } = change.op
            && change.name() == "syscall"
        {
            out.push(b'-');
            push_decimal(out, nr.max(0).unsigned_abs().into(), 0);
        }
        pad(out, from, 12);
    }

    fn push_time(&self, out: &mut Vec<u8>, time: u64) {
        let local = time.wrapping_add(self.clock.to_utc).wrapping_add_signed(self.clock.to_local);
        let micros = local / 1000;
        let seconds = micros / 1_000_000;
        for (value, after) in
            [(seconds / 3600 % 24, b':'), (seconds / 60 % 60, b':'), (seconds % 60, b'.')]
        {
            push_padded(out, value, 2);
            out.push(after);
        }
        push_padded(out, micros % 1_000_000, 6);
    }

    fn push_piece(&self, out: &mut Vec<u8>, piece: &Piece<'_>) {
        let now = piece.now();
        if self.colour {
            out.extend_from_slice(match piece {
                Piece::Added(_) => b"\x1b[32m",
                Piece::Removed(_) => b"\x1b[31m",
                Piece::Changed(..) => b"\x1b[33m",
            });
        }
        out.push(piece.sign());
        out.push(b' ');
        push_hex(out, now.start, 12);
        out.push(b'-');
        push_hex(out, now.end, 12);
        out.push(b' ');
        push_decimal(out, now.kib(), 8);
        out.extend_from_slice(b"K ");
        if let Piece::Changed(was, _) = piece
            && was.perms != now.perms
        {
            push_mode(out, was.perms);
            out.extend_from_slice(b"=>");
        }
        push_mode(out, now.perms);
        out.push(b' ');
        push_hex(out, now.offset, 8);
        out.push(b' ');
        push_hex(out, now.device.major.into(), 3);
        out.push(b':');
        push_hex(out, now.device.minor.into(), 5);
        out.push(b' ');
        if let Piece::Changed(was, _) = piece
            && (was.name, was.device, was.inode) != (now.name, now.device, now.inode)
        {
            self.naming.push(out, was);
            out.extend_from_slice(b" =>");
        }
        self.naming.push(out, now);
    }

    fn end(&self, out: &mut Vec<u8>) {
        if self.colour {
            out.extend_from_slice(RESET);
        }
        out.push(b'\n');
    }
}

/// `read again` counts by reason, in parentheses, where there is any.
fn push_reasons(out: &mut Vec<u8>, reasons: impl Iterator<Item = (Reason, u64)>) {
    let mut before: &[u8] = b" (";
    let mut any = false;
    for (reason, count) in reasons {
        out.extend_from_slice(before);
        out.extend_from_slice(reason.name().as_bytes());
        out.push(b' ');
        push_decimal(out, count, 0);
        before = b", ";
        any = true;
    }
    if any {
        out.push(b')');
    }
}

/// The mode as `pmap` prints it: `rwx`, `s` or `-`, and a dash.
fn push_mode(out: &mut Vec<u8>, perms: Perms) {
    let [r, w, x, s] = perms.kernel();
    out.extend_from_slice(&[r, w, x, if s == b's' { b's' } else { b'-' }, b'-']);
}

/// What is worth a word behind a piece.
fn push_note(out: &mut Vec<u8>, change: &Change) {
    match &change.op {
        Op::Call(Call { outcome: None, .. }) => out.extend_from_slice(b"  (has not returned)"),
        Op::Call(Call { outcome: Some((_, ret)), .. }) if crate::live::is_error(*ret) => {
            push_error(out, *ret);
        }
        Op::Reread(reason) => {
            out.extend_from_slice(b"  (");
            out.extend_from_slice(reason.name().as_bytes());
            out.push(b')');
        }
        _ => {}
    }
}

/// What a change without a piece was.
fn push_event(out: &mut Vec<u8>, change: &Change) {
    match &change.op {
        Op::Call(Call { outcome: Some((args, ret)), syscall, .. }) => {
            out.push(b'(');
            for (index, arg) in args.iter().take(syscall.arguments).enumerate() {
                if index > 0 {
                    out.extend_from_slice(b", ");
                }
                out.extend_from_slice(b"0x");
                push_hex(out, *arg, 1);
            }
            out.push(b')');
            push_error(out, *ret);
        }
        Op::Fork { child } => {
            out.extend_from_slice(b"process ");
            push_decimal(out, (*child).into(), 0);
        }
        Op::Exit { status } => {
            let (kind, value) = match status & 0x7f {
                0 => ("status ", status >> 8 & 0xff),
                signal => ("signal ", signal),
            };
            out.extend_from_slice(kind.as_bytes());
            push_decimal(out, value.into(), 0);
        }
        _ => {}
    }
}

fn push_error(out: &mut Vec<u8>, ret: i64) {
    out.extend_from_slice(b" = -1 ");
    match errno_name(ret) {
        Some(name) => out.extend_from_slice(name.as_bytes()),
        None => {
            out.extend_from_slice(b"errno ");
            push_decimal(out, ret.unsigned_abs(), 0);
        }
    }
}

/// The names of the errors that these calls return; `errno(3)`.
pub(super) fn errno_name(ret: i64) -> Option<&'static str> {
    const NAMES: [(i32, &str); 22] = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::ESRCH, "ESRCH"),
        (libc::EINTR, "EINTR"),
        (libc::EIO, "EIO"),
        (libc::E2BIG, "E2BIG"),
        (libc::ENOEXEC, "ENOEXEC"),
        (libc::EBADF, "EBADF"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::ENOMEM, "ENOMEM"),
        (libc::EACCES, "EACCES"),
        (libc::EFAULT, "EFAULT"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::ENODEV, "ENODEV"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::ENFILE, "ENFILE"),
        (libc::ENOSYS, "ENOSYS"),
        (libc::EOVERFLOW, "EOVERFLOW"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    ];
    let number = i32::try_from(ret.checked_neg()?).ok()?;
    NAMES.iter().find(|(errno, _)| *errno == number).map(|(_, name)| *name)
}

fn pad(out: &mut Vec<u8>, from: usize, width: usize) {
    out.resize(out.len().max(from + width), b' ');
}

/// A number with zeros before it.
fn push_padded(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let from = out.len();
    out.resize(from + width, b'0');
    for digit in out[from..].iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

#[cfg(test)]
mod tests;
