//! What may be sent to a terminal.

use std::env;

/// How text outside ASCII is encoded on the user's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Charset {
    /// None of it may be printed (the C locale).
    #[default]
    Ascii,
    /// UTF-8.
    Utf8,
}

impl Charset {
    /// What the environment asks for: the first of `LC_ALL`, `LC_CTYPE`, `LANG` that is set.
    pub fn from_env() -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .find_map(|name| env::var_os(name).filter(|value| !value.is_empty()));
        let locale = locale.unwrap_or_default().to_string_lossy().to_ascii_lowercase();
        let codeset = locale.split_once('.').map_or("", |(_, codeset)| codeset);
        let codeset = codeset.split_once('@').map_or(codeset, |(codeset, _)| codeset);
        if matches!(codeset, "utf-8" | "utf8") { Self::Utf8 } else { Self::Ascii }
    }
}

/// Whether a character steers a terminal and shows nothing: C0, delete, and C1.
pub const fn is_control(character: char) -> bool {
    matches!(character, '\0'..' ' | '\x7f'..'\u{a0}')
}

/// Appends `text` so that a terminal shows it: bytes that are no printable character become `?`.
pub fn push_printable(out: &mut Vec<u8>, text: &[u8], charset: Charset) {
    if text.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        out.extend_from_slice(text);
        return;
    }
    for chunk in text.utf8_chunks() {
        for character in chunk.valid().chars() {
            let width = character.len_utf8();
            if is_control(character) || (width > 1 && charset == Charset::Ascii) {
                out.extend(std::iter::repeat_n(b'?', width));
            } else {
                out.extend(character.encode_utf8(&mut [0; 4]).bytes());
            }
        }
        out.extend(std::iter::repeat_n(b'?', chunk.invalid().len()));
    }
}
