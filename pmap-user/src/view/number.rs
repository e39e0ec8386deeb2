//! Numbers into text, right-aligned, without an allocation and without `fmt`.

use crate::model::Device;

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

/// The same, for a width that is known beforehand and that most values fit.
#[inline]
pub(super) fn push_cell<const WIDTH: usize>(out: &mut Vec<u8>, value: u64) {
    let mut cell = [b' '; WIDTH];
    let mut rest = value;
    for place in cell.iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            out.extend_from_slice(&cell);
            return;
        }
    }
    push_decimal(out, value, WIDTH);
}

/// Appends all sixteen digits of `value` in base 16.
#[inline]
pub(super) fn push_address(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0; 16];
    let (high, low) = digits.split_at_mut(8);
    high.copy_from_slice(&hex_digits((value >> 32) as u32));
    low.copy_from_slice(&hex_digits(value as u32));
    out.extend_from_slice(&digits);
}

/// Appends a device in three digits and five, or more where it needs them.
#[inline]
pub(super) fn push_device(out: &mut Vec<u8>, Device { major, minor }: Device) {
    if major < 1 << 12 && minor < 1 << 20 {
        let mut cell = [b':'; 9];
        cell[..3].copy_from_slice(&hex_digits(major)[5..]);
        cell[4..].copy_from_slice(&hex_digits(minor)[3..]);
        out.extend_from_slice(&cell);
    } else {
        push_hex(out, major.into(), 3);
        out.push(b':');
        push_hex(out, minor.into(), 5);
    }
}

/// Appends `value` in base 16, with zeros before it up to `width` digits (at most 16).
#[inline]
pub(super) fn push_hex(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut digits = [0; 16];
    let (high, low) = digits.split_at_mut(8);
    high.copy_from_slice(&hex_digits((value >> 32) as u32));
    low.copy_from_slice(&hex_digits(value as u32));
    let width = width.max(hex_width(value));
    out.extend_from_slice(&digits[16 - width..]);
}

/// All eight digits of `value` in base 16, computed at once: one digit a byte of a 64-bit word.
#[inline]
fn hex_digits(value: u32) -> [u8; 8] {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let value = u64::from(value);
    let value = (value << 16 | value) & 0x0000_ffff_0000_ffff;
    let value = (value << 8 | value) & 0x00ff_00ff_00ff_00ff;
    let value = (value << 4 | value) & 0x0f0f_0f0f_0f0f_0f0f;
    // Six more than nine carries into the high half of the byte: a letter.
    let letters = ((value + 6 * ONES) >> 4) & ONES;
    (value + u64::from(b'0') * ONES + letters * u64::from(b'a' - b'9' - 1)).to_be_bytes()
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
