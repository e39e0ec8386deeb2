//! Numbers into text, right-aligned, without an allocation and without `fmt`.

/// Enough blanks or zeros for any usual width.
const PADDING: usize = 32;

/// Appends `value` in base 10, with blanks before it up to `width`.
#[inline]
pub(super) fn push_decimal(out: &mut Vec<u8>, mut value: u64, width: usize) {
    let mut digits = [b' '; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    let count = digits.len() - at;
    if width <= digits.len() {
        out.extend_from_slice(&digits[digits.len() - width.max(count)..]);
    } else {
        push_repeated(out, b' ', width - count);
        out.extend_from_slice(&digits[at..]);
    }
}

/// Appends `value` in base 16, with zeros before it up to `width` digits (at most 16).
#[inline]
pub(super) fn push_hex(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut digits = [b'0'; 16];
    for (index, digit) in digits.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(value >> (60 - 4 * index)) as usize & 15];
    }
    let width = width.max(hex_width(value));
    out.extend_from_slice(&digits[16 - width..]);
}

/// Digits of `value` in base 10.
pub(super) fn decimal_width(value: u64) -> usize {
    value.checked_ilog10().map_or(1, |log| log as usize + 1)
}

/// Digits of `value` in base 16.
#[inline]
pub(super) fn hex_width(value: u64) -> usize {
    value.checked_ilog2().map_or(1, |log| log as usize / 4 + 1)
}

/// Appends `text`, with blanks before it up to `width`.
pub(super) fn push_right(out: &mut Vec<u8>, text: &[u8], width: usize) {
    push_repeated(out, b' ', width.saturating_sub(text.len()));
    out.extend_from_slice(text);
}

/// Appends `byte` `count` times.
pub(super) fn push_repeated(out: &mut Vec<u8>, byte: u8, count: usize) {
    if count <= PADDING && byte == b' ' {
        out.extend_from_slice(&[b' '; PADDING][..count]);
    } else {
        out.extend(std::iter::repeat_n(byte, count));
    }
}
