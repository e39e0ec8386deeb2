//! The parsers take any bytes: what the kernel writes comes back, and nothing makes them panic.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;

use pmap_user::cli::{self, Context};
use pmap_user::model::{Device, Keys, Mapping, Perms};
use pmap_user::proc::{Rows, maps, smaps, text};
use pmap_user::rc;
use pmap_user::text::{Charset, push_printable};
use pmap_user::view::{Columns, Format, Options, Output, Renderer, push_json_string};
use proptest::collection::vec;
use proptest::prelude::*;

/// A line as `show_map_vma` writes it.
fn line(mapping: &Mapping<'_>) -> Vec<u8> {
    let Mapping { start, end, perms, offset, device: Device { major, minor }, inode, name } =
        *mapping;
    let perms = String::from_utf8_lossy(&perms.kernel()).into_owned();
    let head =
        format!("{start:08x}-{end:08x} {perms} {offset:08x} {major:02x}:{minor:02x} {inode} ");
    let mut line = head.into_bytes();
    if !name.is_empty() {
        line.resize(line.len().max(73), b' ');
        line.extend_from_slice(name);
    }
    line
}

prop_compose! {
    /// What a mapping is made of; the name has no newline and no blank at its start.
    fn parts()(
        start in 0..u64::MAX,
        length in 1..u64::MAX,
        bits in 0..16_u8,
        offset in any::<u64>(),
        major in 0..1_u32 << 12,
        minor in 0..1_u32 << 20,
        inode in any::<u64>(),
        name in "[^\n ][^\n]{0,40}|",
        values in vec(any::<u64>(), 3),
    ) -> (u64, u64, u8, u64, Device, u64, String, Vec<u64>) {
        (start, start.saturating_add(length), bits, offset, Device { major, minor }, inode, name, values)
    }
}

/// A reader that gives a few bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.1.min(self.0.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&self.0[..count]);
        self.0 = &self.0[count..];
        Ok(count)
    }
}

proptest! {
    #[test]
    fn a_line_comes_back_as_it_was((start, end, bits, offset, device, inode, name, _) in parts()) {
        let perms = Perms::from_bits(bits);
        let mapping = Mapping { start, end, perms, offset, device, inode, name: name.as_bytes() };
        let line = line(&mapping);
        prop_assert_eq!(maps::parse_line(&line), Some(mapping));
    }

    #[test]
    fn a_list_comes_back_however_it_is_cut(all in vec(parts(), 0..20), cut in 1..200_usize) {
        let mut file = Vec::new();
        for (start, end, bits, offset, device, inode, name, values) in &all {
            let perms = Perms::from_bits(*bits);
            let mapping = Mapping { start: *start, end: *end, perms, offset: *offset, device: *device, inode: *inode, name: name.as_bytes() };
            file.extend(line(&mapping));
            for (key, value) in ["Size", "Rss", "Pss"].iter().zip(values) {
                file.extend(format!("\n{key:<16}{value:>8} kB").replace(key, &format!("{key}:")).bytes());
            }
            file.extend(b"\nVmFlags: rd wr \n");
        }
        let mut rows = smaps::Reader::new(Trickle(&file, cut), |key| key != b"Rss");
        for (start, _, _, _, _, inode, name, values) in &all {
            let (mapping, details) = rows.next_row().expect("well-formed").expect("not the end");
            prop_assert_eq!((mapping.start, mapping.inode, mapping.name), (*start, *inode, name.as_bytes()));
            prop_assert_eq!(details.get(b"Size"), Some(values[0]));
            prop_assert_eq!(details.get(b"Rss"), None);
            prop_assert_eq!(details.get(b"Pss"), Some(values[2]));
            prop_assert_eq!(details.flags, Some(&b"rd wr"[..]));
        }
        prop_assert!(rows.next_row().expect("well-formed").is_none());
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in vec(any::<u8>(), 0..400), cut in 1..50_usize) {
        let _ = maps::parse_line(&bytes);
        let mut lines = maps::Reader::new(Trickle(&bytes, cut));
        while let Ok(Some(_)) = lines.next_row() {}
        let mut rows = smaps::Reader::new(Trickle(&bytes, cut), |_| true);
        while let Ok(Some(_)) = rows.next_row() {}
        let _ = rc::parse(&bytes);
    }

    #[test]
    fn lists_with_broken_lines_are_read_without_a_panic(
        lines in vec(prop_oneof![
            Just("00001000-00002000 rw-p 00000000 00:00 0 [x]".to_owned()),
            Just("Size:                  4 kB".to_owned()),
            Just("VmFlags: rd ".to_owned()),
            "[A-Za-z:]{0,8} {0,4}[0-9]{0,25} ?(kB)?",
            "[0-9a-f]{1,18}-[0-9a-f]{1,18} [rwxps-]{3,5} [0-9a-f]{1,9} [0-9a-f]{1,9}:[0-9a-f]{1,2} [0-9]{1,22}",
        ], 0..12),
        columns in prop_oneof![Just(Columns::Usual), Just(Columns::All)],
    ) {
        let text = lines.join("\n");
        let options = Options { format: Format::Details(columns), ..Options::default() };
        for mut renderer in [Renderer::text(&options), Renderer::json(&options)] {
            let mut out = Output::new(io::sink());
            let mut rows = smaps::Reader::new(text.as_bytes(), |_| true);
            renderer.begin(&mut out);
            while let Ok(Some((mapping, details))) = rows.next_row() {
                renderer.row(&mut out, &mapping, &details);
            }
            renderer.end(&mut out);
        }
    }

    #[test]
    fn any_command_line_is_understood_or_refused(
        words in vec(prop_oneof![
            vec(any::<u8>(), 0..12),
            "-{1,2}[a-zA-Z=,0-9-]{0,12}".prop_map(String::into_bytes),
        ], 0..6),
        options_first in any::<bool>(),
    ) {
        let words: Vec<_> = words.into_iter().map(OsString::from_vec).collect();
        let context = Context {
            options_first,
            home: None,
            charset: Charset::Utf8,
            read_file: |_| Err(io::ErrorKind::NotFound.into()),
        };
        let _ = cli::interpret(&words, &context);
    }

    #[test]
    fn numbers_come_back(number in any::<u64>(), rest in "[^0-9a-fA-F]?") {
        let hex = format!("{number:x}{rest}");
        prop_assert_eq!(text::parse_hex(hex.as_bytes()), Some((number, rest.as_bytes())));
        let decimal = format!("{number}{rest}");
        prop_assert_eq!(text::parse_decimal(decimal.as_bytes()), Some((number, rest.as_bytes())));
        prop_assert_eq!(text::parse_decimal(format!("{number}000").as_bytes()).is_some(), number < u64::MAX / 1000);
    }

    #[test]
    fn a_byte_is_found_where_it_is(bytes in vec(0..4_u8, 0..60), byte in 0..4_u8) {
        prop_assert_eq!(text::find(&bytes, byte), bytes.iter().position(|&other| other == byte));
    }

    #[test]
    fn what_is_printed_holds_no_control(bytes in vec(any::<u8>(), 0..60)) {
        for charset in [Charset::Ascii, Charset::Utf8] {
            let mut out = Vec::new();
            push_printable(&mut out, &bytes, charset);
            let text = String::from_utf8(out).expect("only whole characters");
            prop_assert!(!text.chars().any(char::is_control), "{text:?}");
            prop_assert!(charset == Charset::Utf8 || text.is_ascii());
        }
        let mut json = Vec::new();
        push_json_string(&mut json, &bytes);
        let json = String::from_utf8(json).expect("only whole characters");
        prop_assert!(!json.chars().any(char::is_control), "{json:?}");
    }

    #[test]
    fn long_rows_come_back_as_they_were(all in vec(parts(), 1..10)) {
        let mut keys = Keys::new();
        keys.intern(b"Size");
        let options = Options { format: Format::Details(Columns::All), quiet: true, charset: Charset::Utf8, ..Options::default() };
        let mut renderer = Renderer::text(&options);
        let mut bytes = Vec::new();
        let mut out = Output::new(&mut bytes);
        for (start, end, bits, offset, device, inode, _, values) in &all {
            let perms = Perms::from_bits(*bits);
            let mapping = Mapping { start: *start, end: *end, perms, offset: *offset, device: *device, inode: *inode, name: b"name" };
            // The largest number of all is a byte more than the kernel can count.
            let values = [Some(values[0] >> 1)];
            renderer.row(&mut out, &mapping, &pmap_user::model::Details { keys: &keys, values: &values, flags: None });
        }
        renderer.end(&mut out);
        out.flush().expect("a vector takes all");
        drop(out);
        let text = String::from_utf8(bytes).expect("it is text");
        for ((start, _, bits, offset, Device { major, minor }, inode, _, values), row) in all.iter().zip(text.lines()) {
            let perms = String::from_utf8_lossy(&Perms::from_bits(*bits).kernel()).into_owned();
            let expected = format!("{start:08x} {perms} {offset:08x} {major:02x}:{minor:02x} {inode} {} name", values[0] >> 1);
            prop_assert_eq!(row.split_whitespace().collect::<Vec<_>>().join(" "), expected);
        }
    }
}
