//! What a reader of the stream knows who never asks for a table: the first table, and the pieces
//! of every change after it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Mapping, maps::hex};

/// One address space, by the first address of each run of like pages.
#[derive(Default)]
pub struct Replay {
    runs: BTreeMap<u64, Run>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    end: u64,
    perms: String,
    /// Zero where there is no file.
    offset: u64,
    device: String,
    inode: u64,
}

impl Run {
    fn is_file(&self) -> bool {
        self.inode != 0 || self.device != "00:00"
    }

    /// What begins at an address inside.
    fn from(&self, start: u64, address: u64) -> Self {
        let offset = if self.is_file() { self.offset + (address - start) } else { 0 };
        Self { offset, ..self.clone() }
    }
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
        let Mapping { start, end, perms, offset, device, inode, .. } = mapping.clone();
        self.remove(start, end);
        let mut run = Run { end, perms, offset, device, inode };
        if !run.is_file() {
            run.offset = 0;
        }
        self.runs.insert(start, run);
    }

    /// Cuts the run around an address in two.
    fn cut(&mut self, address: u64) {
        if let Some((&start, run)) = self.runs.range_mut(..address).next_back()
            && run.end > address
        {
            let rest = run.from(start, address);
            run.end = address;
            self.runs.insert(address, rest);
        }
    }

    /// Removes what is in a range, and returns how much that was.
    fn remove(&mut self, start: u64, end: u64) -> u64 {
        self.cut(start);
        self.cut(end);
        let inside: Vec<u64> = self.runs.range(start..end).map(|(start, _)| *start).collect();
        inside.iter().map(|start| self.runs.remove(start).map_or(0, |run| run.end - start)).sum()
    }

    /// Takes in a change. Panics where it removes what is not there, or adds what is.
    pub fn take(&mut self, change: &Value) {
        if change["op"] == "exec" {
            self.runs.clear();
        }
        for piece in change["pieces"].as_array().expect("a change has pieces") {
            let bound = |key: &str| hex(piece[key].as_str().expect("text"));
            let (start, end) = (bound("start"), bound("end"));
            let known = self.remove(start, end);
            let expected = if piece["sign"] == "+" { 0 } else { end - start };
            assert_eq!(known, expected, "bytes that {piece} finds, in {change}");
            if piece["sign"] != "-" {
                self.put(&Mapping::of_json(piece));
            }
        }
    }

    /// Runs that are as long as they can be.
    fn joined(&self) -> Vec<(u64, Run)> {
        let mut joined: Vec<(u64, Run)> = Vec::new();
        for (&start, run) in &self.runs {
            if let Some((first, last)) = joined.last_mut()
                && last.end == start
                && (Run { end: run.end, ..last.from(*first, start) }) == *run
            {
                last.end = run.end;
            } else {
                joined.push((start, run.clone()));
            }
        }
        joined
    }

    /// Checks that this is what a table has.
    #[track_caller]
    pub fn assert_is(&self, table: &[Mapping]) {
        let (ours, other) = (self.joined(), Self::of_table(table).joined());
        for run in &other {
            assert!(ours.contains(run), "the stream does not lead to {run:x?}");
        }
        for run in &ours {
            assert!(other.contains(run), "{run:x?} was never told to be gone");
        }
    }
}
