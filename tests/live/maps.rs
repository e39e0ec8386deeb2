//! `/proc/PID/maps` and the snapshots of `--json`, read into the same form by code of the tests'
//! own, so that a mistake of the program's parser does not hide one of its table.

use std::fmt;
use std::fs;

use serde_json::Value;

/// One mapping, every column of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Mapping {
    pub start: u64,
    pub end: u64,
    pub perms: String,
    pub offset: u64,
    pub device: String,
    pub inode: u64,
    pub name: Vec<u8>,
}

impl fmt::Debug for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { start, end, perms, offset, device, inode, name } = self;
        let name = name.escape_ascii();
        write!(f, "{start:x}-{end:x} {perms} {offset:08x} {device} {inode} {name}")
    }
}

impl Mapping {
    fn of_line(line: &[u8]) -> Self {
        let mut words = line.splitn(6, |byte| *byte == b' ');
        let mut word = || words.next().expect("a line of maps has six columns");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("columns are ASCII");
        let range = text(word());
        let (start, end) = range.split_once('-').expect("a range has two ends");
        let perms = text(word());
        let offset = hex(&text(word()));
        let device = text(word());
        let inode = text(word()).parse().expect("an inode is a number");
        let name = words.next().unwrap_or_default().trim_ascii_start().to_vec();
        Self { start: hex(start), end: hex(end), perms, offset, device, inode, name }
    }

    /// From an object of a snapshot or of a piece.
    pub fn of_json(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap_or_else(|| panic!("{key} of {value}"));
        let name = match value["name_hex"].as_str() {
            Some(digits) => {
                (0..digits.len() / 2).map(|i| hex(&digits[2 * i..][..2]) as u8).collect()
            }
            None => text("name").as_bytes().to_vec(),
        };
        Self {
            start: hex(text("start")),
            end: hex(text("end")),
            perms: text("perms").into(),
            offset: hex(text("offset")),
            device: text("device").into(),
            inode: value["inode"].as_u64().expect("an inode is a number"),
            name,
        }
    }
}

pub fn hex(text: &str) -> u64 {
    u64::from_str_radix(text.trim_start_matches("0x"), 16).expect("a hexadecimal number")
}

/// What the kernel shows of a thread's process; empty where it has ended.
pub fn of_process(pid: u32) -> Vec<Mapping> {
    let tid = super::living_thread(pid).unwrap_or(pid);
    let text = fs::read(format!("/proc/{pid}/task/{tid}/maps")).unwrap_or_default();
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(Mapping::of_line).collect()
}

/// Differences that are shown of each side.
const SHOWN: usize = 20;

/// Both lists, where they differ.
pub fn difference(ours: &[Mapping], kernel: &[Mapping]) -> Option<String> {
    if ours == kernel {
        return None;
    }
    let mut text = format!("  {} mappings, the kernel has {}\n", ours.len(), kernel.len());
    for mapping in ours.iter().filter(|m| !kernel.contains(m)).take(SHOWN) {
        text += &format!("  only ours:   {mapping:?}\n");
    }
    for mapping in kernel.iter().filter(|m| !ours.contains(m)).take(SHOWN) {
        text += &format!("  only kernel: {mapping:?}\n");
    }
    Some(text)
}

/// Checks that the table has what the kernel has, field by field.
#[track_caller]
pub fn assert_same(ours: &[Mapping], kernel: &[Mapping], when: &str) {
    if let Some(text) = difference(ours, kernel) {
        panic!("{when}: the table is not the kernel's\n{text}");
    }
}
