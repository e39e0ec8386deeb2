//! The objects of `--follow --json`: one a line. `docs/json.md` is their schema.

use super::json::{SCHEMA, push_json_string};
use super::number::{push_decimal, push_hex};
use super::stream::{Clock, Piece, errno_name};
use crate::live::{Call, Change, Op, Totals, is_error};
use crate::model::Mapping;

/// A key and what stands around it, put together when it is compiled.
macro_rules! key {
    ($name:literal) => {
        concat!(",\"", $name, "\":").as_bytes()
    };
}

/// Appends a change.
pub fn push_change(out: &mut Vec<u8>, change: &Change, pieces: &[Piece<'_>], clock: Clock) {
    begin(out, "change");
    number(out, key!("time_ns"), change.time.wrapping_add(clock.to_utc));
    number(out, key!("pid"), change.pid.into());
    number(out, key!("tid"), change.tid.into());
    out.extend_from_slice(b",\"comm\":");
    push_json_string(out, change.comm.split(|byte| *byte == 0).next().unwrap_or_default());
    number(out, key!("space"), change.space);
    number(out, key!("version"), change.version);
    text(out, key!("op"), change.name());
    match &change.op {
        Op::Call(call) => push_call(out, call),
        Op::OtherCall { nr, compat } => {
            number(out, key!("syscall_nr"), nr.max(&0).unsigned_abs().into());
            boolean(out, key!("compat"), *compat);
        }
        Op::Fork { child } => number(out, key!("child"), (*child).into()),
        Op::Exit { status } => match status & 0x7f {
            0 => number(out, key!("status"), (status >> 8 & 0xff).into()),
            signal => number(out, key!("signal"), signal.into()),
        },
        Op::Reread(reason) => text(out, key!("reason"), reason.name()),
        Op::Stack | Op::Other | Op::Exec => {}
    }
    out.extend_from_slice(b",\"pieces\":[");
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_piece(out, piece);
    }
    out.extend_from_slice(b"]}\n");
}

/// Appends the object at the end.
pub fn push_summary(out: &mut Vec<u8>, totals: &Totals, drift: u64) {
    begin(out, "summary");
    out.extend_from_slice(b",\"changes\":{");
    counts(out, totals.changes.iter().map(|(name, count)| (*name, *count)));
    out.push(b'}');
    number(out, key!("mapped_bytes"), totals.mapped);
    number(out, key!("unmapped_bytes"), totals.unmapped);
    number(out, key!("versions"), totals.versions);
    out.extend_from_slice(b",\"read_again\":{");
    counts(out, totals.rereads.iter().map(|(reason, count)| (reason.name(), *count)));
    out.push(b'}');
    number(out, key!("lost"), totals.lost);
    number(out, key!("unknown_records"), totals.unknown);
    number(out, key!("drift"), drift);
    out.extend_from_slice(b"}\n");
}

fn push_call(out: &mut Vec<u8>, call: &Call) {
    let Call { syscall, compat, outcome } = call;
    boolean(out, key!("compat"), *compat);
    let Some((args, ret)) = outcome else {
        out.extend_from_slice(b",\"args\":null,\"result\":null");
        return;
    };
    out.extend_from_slice(b",\"args\":[");
    for (index, arg) in args.iter().take(syscall.arguments).enumerate() {
        out.extend_from_slice(if index > 0 { b",\"0x" } else { b"\"0x" });
        push_hex(out, *arg, 1);
        out.push(b'"');
    }
    out.push(b']');
    if is_error(*ret) {
        out.extend_from_slice(b",\"result\":-1");
        match errno_name(*ret) {
            Some(name) => text(out, key!("errno"), name),
            None => number(out, key!("errno"), ret.unsigned_abs()),
        }
    } else {
        out.extend_from_slice(b",\"result\":\"0x");
        push_hex(out, ret.cast_unsigned(), 1);
        out.push(b'"');
    }
}

fn push_piece(out: &mut Vec<u8>, piece: &Piece<'_>) {
    let now = piece.now();
    out.extend_from_slice(b"{\"sign\":\"");
    out.push(piece.sign());
    out.extend_from_slice(b"\",\"start\":\"0x");
    push_hex(out, now.start, 1);
    out.extend_from_slice(b"\",\"end\":\"0x");
    push_hex(out, now.end, 1);
    out.push(b'"');
    number(out, key!("kib"), now.kib());
    push_attributes(out, now);
    if let Piece::Changed(was, _) = piece {
        out.extend_from_slice(b",\"was\":{\"kib\":");
        push_decimal(out, was.kib(), 0);
        push_attributes(out, was);
        out.push(b'}');
    }
    out.push(b'}');
}

fn push_attributes(out: &mut Vec<u8>, mapping: &Mapping<'_>) {
    out.extend_from_slice(b",\"perms\":\"");
    out.extend_from_slice(&mapping.perms.kernel());
    out.extend_from_slice(b"\",\"offset\":\"0x");
    push_hex(out, mapping.offset, 1);
    out.extend_from_slice(b"\",\"device\":\"");
    push_hex(out, mapping.device.major.into(), 2);
    out.push(b':');
    push_hex(out, mapping.device.minor.into(), 2);
    out.push(b'"');
    number(out, key!("inode"), mapping.inode);
    out.extend_from_slice(b",\"name\":");
    push_json_string(out, mapping.name);
}

fn begin(out: &mut Vec<u8>, kind: &str) {
    out.extend_from_slice(b"{\"schema\":");
    push_json_string(out, SCHEMA.as_bytes());
    text(out, key!("type"), kind);
}

#[inline]
fn number(out: &mut Vec<u8>, key: &[u8], value: u64) {
    out.extend_from_slice(key);
    push_decimal(out, value, 0);
}

#[inline]
fn text(out: &mut Vec<u8>, key: &[u8], value: &str) {
    out.extend_from_slice(key);
    push_json_string(out, value.as_bytes());
}

#[inline]
fn boolean(out: &mut Vec<u8>, key: &[u8], value: bool) {
    out.extend_from_slice(key);
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn counts<'a>(out: &mut Vec<u8>, counts: impl Iterator<Item = (&'a str, u64)>) {
    for (index, (name, count)) in counts.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_json_string(out, name.as_bytes());
        out.push(b':');
        push_decimal(out, count, 0);
    }
}
