//! The command line of a process, as it is printed.

use std::borrow::Cow;

use crate::text::{Charset, is_control};

/// Where procps-ng's library cuts a command line, in bytes.
pub(super) const LONGEST: usize = (128 << 10) - 1;

/// From the bytes of `/proc/PID/cmdline`: arguments apart by blanks, unprintable bytes replaced.
///
/// `?` where the arguments are there and empty; `None` where there are no bytes at all, as with a
/// kernel thread or a zombie.
pub(super) fn printable_arguments(cmdline: &[u8], charset: Charset) -> Option<Vec<u8>> {
    let mut text = Cow::Borrowed(cmdline);
    let end = cmdline.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let last = *text.last()?;
    text.to_mut().truncate(end);
    for byte in text.to_mut() {
        if matches!(byte, 0 | b'\n') {
            *byte = b' ';
        }
    }
    // A program that wrote over its arguments may leave no NUL: one blank at the end is dropped then.
    if matches!(last, b' ' | b'\n') {
        text.to_mut().pop();
    }
    let text = escape(&text, charset);
    Some(if text.is_empty() { b"?".to_vec() } else { text })
}

/// From the short name in `/proc/PID/stat`, where there are no arguments: `[name]`.
pub(super) fn printable_name(name: &[u8], zombie: bool, charset: Charset) -> Vec<u8> {
    let mut text = b"[".to_vec();
    text.extend(escape(name, charset));
    text.push(b']');
    if zombie {
        text.extend(b" <defunct>");
    }
    text
}

/// Replaces what a terminal should not get.
///
/// In a UTF-8 locale control characters become `?`; from the first byte that starts no character on,
/// the text is taken to be of another encoding. Without UTF-8, control characters become `.`.
fn escape(text: &[u8], charset: Charset) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while charset == Charset::Utf8 && !rest.is_empty() {
        if !matches!(rest[0], 0..0x80 | 0xc2..=0xf4) {
            break;
        }
        let chunk = rest.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        for character in chunk.chars() {
            if is_control(character) {
                out.extend(std::iter::repeat_n(b'?', character.len_utf8()));
            } else {
                out.extend(character.encode_utf8(&mut [0; 4]).bytes());
            }
        }
        rest = &rest[chunk.len()..];
        if chunk.is_empty() {
            out.push(b'?');
            rest = &rest[1..];
        }
    }
    out.extend(rest.iter().map(|&byte| match byte {
        0..0x20 | 0x7f => b'.',
        0x80.. => b'?',
        _ => byte,
    }));
    out
}
