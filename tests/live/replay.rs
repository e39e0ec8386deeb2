//! What a reader of the stream knows who never asks for a table: the first table, and the pieces
//! of every change after it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Mapping, maps::hex};

/// The pages of one address space, by address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    pages: BTreeMap<u64, Page>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    perms: String,
    offset: u64,
    device: String,
    inode: u64,
}

impl Replay {
    /// From a table, without the gate page, which never changes.
    pub fn of_table(table: &[Mapping]) -> Self {
        let mut replay = Self::default();
        for mapping in table.iter().filter(|m| m.name != b"[vsyscall]") {
            replay.put(mapping);
        }
        replay
    }

    fn put(&mut self, mapping: &Mapping) {
        let is_file = mapping.inode != 0 || mapping.device != "00:00";
        for start in (mapping.start..mapping.end).step_by(4096) {
            let offset = if is_file { mapping.offset + (start - mapping.start) } else { 0 };
            let Mapping { perms, device, inode, .. } = mapping.clone();
            self.pages.insert(start, Page { perms, offset, device, inode });
        }
    }

    /// Takes in a change. Panics where it removes what is not there, or adds what is.
    pub fn take(&mut self, change: &Value) {
        if change["op"] == "exec" {
            self.pages.clear();
        }
        for piece in change["pieces"].as_array().expect("a change has pieces") {
            let (start, end) = (&piece["start"], &piece["end"]);
            let range = hex(start.as_str().expect("text"))..hex(end.as_str().expect("text"));
            let known = self.pages.range(range.clone()).count() as u64;
            let expected = if piece["sign"] == "+" { 0 } else { (range.end - range.start) / 4096 };
            assert_eq!(known, expected, "pages that {piece} finds, in {change}");
            if piece["sign"] == "-" {
                for page in range.step_by(4096) {
                    self.pages.remove(&page);
                }
            } else {
                self.put(&Mapping::of_json(piece));
            }
        }
    }

    /// Checks that these are the pages of a table.
    #[track_caller]
    pub fn assert_is(&self, table: &[Mapping]) {
        let other = Self::of_table(table);
        for (address, page) in &other.pages {
            assert_eq!(self.pages.get(address), Some(page), "the replayed page {address:x}");
        }
        for address in self.pages.keys() {
            assert!(other.pages.contains_key(address), "{address:x} was never told to be gone");
        }
    }
}
