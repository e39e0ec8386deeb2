//! C's `strtoul`, which decides what procps takes for a number.

/// Reads a number as `strtoul` does in the C locale: blanks, a sign, a prefix, digits. What is too large
/// becomes the largest, and a sign of minus wraps around. Base 0 takes `0x` for 16 and `0` for 8.
///
/// The value and what follows it; the whole text where there is no digit.
pub(super) fn strtoul(text: &[u8], base: u32) -> (u64, &[u8]) {
    let blanks = text.iter().take_while(|byte| matches!(byte, b' ' | b'\t'..=b'\r')).count();
    let mut rest = &text[blanks..];
    let negative = rest.first() == Some(&b'-');
    if matches!(rest.first(), Some(b'+' | b'-')) {
        rest = &rest[1..];
    }
    let prefixed = matches!(rest, [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit());
    let base = match base {
        0 if prefixed => 16,
        0 if rest.first() == Some(&b'0') => 8,
        0 => 10,
        base => base,
    };
    if prefixed && base == 16 {
        rest = &rest[2..];
    }
    let mut value = Some(0_u64);
    let mut digits = 0;
    while let Some(digit) = rest.get(digits).and_then(|&byte| char::from(byte).to_digit(base)) {
        value = value.and_then(|value| value.checked_mul(base.into())?.checked_add(digit.into()));
        digits += 1;
    }
    if digits == 0 {
        return (0, text);
    }
    let value = match value {
        None => u64::MAX,
        Some(value) if negative => value.wrapping_neg(),
        Some(value) => value,
    };
    (value, &rest[digits..])
}
