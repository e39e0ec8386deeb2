//! Numbers and bytes in the kernel's text, without `str` and without allocation.

/// Digit value of each byte in base 16; 255 where it is none.
const HEX: [u8; 256] = {
    let mut table = [255; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = digit as u8;
        table[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    table
};

/// Reads lowercase or uppercase hexadecimal digits: the value, and what follows.
///
/// `None` without a digit, or where the number does not fit.
#[inline]
pub fn parse_hex(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    let mut rest = text;
    // Four digits at a step: this is where most of the parsing time goes.
    while let Some((digits, after)) = rest.split_first_chunk::<4>() {
        let [a, b, c, d] = digits.map(|digit| u64::from(HEX[digit as usize]));
        if a | b | c | d > 15 {
            break;
        }
        value = (value << 16) | (a << 12) | (b << 8) | (c << 4) | d;
        rest = after;
    }
    while let Some((&byte, after)) = rest.split_first() {
        let digit = HEX[byte as usize];
        if digit > 15 {
            break;
        }
        value = (value << 4) | u64::from(digit);
        rest = after;
    }
    let count = text.len() - rest.len();
    let fits = count <= 16 || text[..count - 16].iter().all(|&byte| byte == b'0');
    (count > 0 && fits).then_some((value, rest))
}

/// Reads exactly `N` hexadecimal digits, `N` at most 16; `None` where one is none.
#[inline]
pub fn parse_digits<const N: usize>(text: &[u8; N]) -> Option<u64> {
    let mut value = 0_u64;
    let mut seen = 0;
    for &byte in text {
        let digit = HEX[byte as usize];
        seen |= digit;
        value = (value << 4) | u64::from(digit & 15);
    }
    (seen < 16).then_some(value)
}

/// Reads decimal digits: the value, and what follows. `None` without a digit, or where the number does not fit.
#[inline]
pub fn parse_decimal(text: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    let mut count = 0;
    while let Some(digit) = text.get(count).map(|byte| byte.wrapping_sub(b'0')).filter(|&d| d < 10)
    {
        value = value.checked_mul(10)?.checked_add(u64::from(digit))?;
        count += 1;
    }
    (count > 0).then(|| (value, &text[count..]))
}

/// `text` without the blanks at its start.
#[inline]
pub fn skip_blanks(text: &[u8]) -> &[u8] {
    let count = text.iter().take_while(|&&byte| byte == b' ').count();
    &text[count..]
}

/// Where `byte` first stands; eight bytes at a time.
#[inline]
pub fn find(text: &[u8], byte: u8) -> Option<usize> {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let pattern = ONES * u64::from(byte);
    let (words, rest) = text.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let differences = u64::from_le_bytes(*word) ^ pattern;
        let zeros = differences.wrapping_sub(ONES) & !differences & (ONES << 7);
        if zeros != 0 {
            return Some(index * 8 + (zeros.trailing_zeros() / 8) as usize);
        }
    }
    rest.iter().position(|&other| other == byte).map(|at| words.len() * 8 + at)
}
