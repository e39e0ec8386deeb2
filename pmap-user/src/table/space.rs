//! Regions by their first address.

use std::collections::BTreeMap;

use super::diff::{self, Piece};
use crate::model::Perms;

/// What names a region: an index that whoever feeds the table gives out; zero is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct What(u32);

impl What {
    const FILE: u32 = 1 << 31;

    /// Something whose offset means nothing: `[vdso]`, a name given to anonymous memory.
    pub const fn plain(index: u32) -> Self {
        Self(index & !Self::FILE)
    }

    /// A file, in which regions have offsets.
    pub const fn file(index: u32) -> Self {
        Self(index | Self::FILE)
    }

    /// The index.
    pub const fn index(self) -> u32 {
        self.0 & !Self::FILE
    }

    /// Whether it is a file.
    pub const fn is_file(self) -> bool {
        self.0 & Self::FILE != 0
    }
}

/// A region as it is told to the table, and as the table hands it out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// First address, in bytes.
    pub start: u64,
    /// First address after it, in bytes; above `start`.
    pub end: u64,
    /// Offset into the file that it maps, in bytes; zero where it maps none.
    pub offset: u64,
    /// What it maps.
    pub what: What,
    /// Permissions.
    pub perms: Perms,
}

impl Entry {
    /// Offset at an address inside the region.
    pub(super) fn offset_at(&self, address: u64) -> u64 {
        if self.what.is_file() { self.offset.wrapping_add(address - self.start) } else { 0 }
    }

    /// The part between two addresses inside the region.
    pub(super) fn part(&self, start: u64, end: u64) -> Self {
        Self { start, end, offset: self.offset_at(start), ..*self }
    }

    /// Whether `next` goes on where this one ends, with the same attributes.
    pub(super) fn goes_on_in(&self, next: &Self) -> bool {
        self.end == next.start
            && self.what == next.what
            && self.perms == next.perms
            && self.offset_at(self.end) == next.offset
    }
}

/// What the table keeps of a region beside its first address: 40 bytes.
#[derive(Clone, Copy, Debug)]
struct Region {
    end: u64,
    offset: u64,
    what: What,
    perms: Perms,
    usage: Option<Usage>,
}

/// Memory of a region at the last look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Usage {
    rss: u32,
    dirty: u32,
}

/// One address space.
#[derive(Debug, Default)]
pub struct AddressSpace {
    regions: BTreeMap<u64, Region>,
    bytes: u64,
    /// Empty between two calls; kept for its room.
    scratch: Vec<Entry>,
}

impl AddressSpace {
    /// Number of regions.
    pub fn len(&self) -> usize {
        self.regions.len()
    }

    /// Whether there is no region.
    pub fn is_empty(&self) -> bool {
        self.regions.is_empty()
    }

    /// Bytes mapped.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Every region, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.regions.iter().map(|(start, region)| entry(*start, region))
    }

    /// Every region with its RSS and dirty memory in KiB, where they were looked at.
    pub fn iter_usage(&self) -> impl Iterator<Item = (Entry, Option<(u64, u64)>)> + '_ {
        self.regions.iter().map(|(start, region)| {
            let usage = region.usage.map(|u| (u64::from(u.rss) * 4, u64::from(u.dirty) * 4));
            (entry(*start, region), usage)
        })
    }

    /// Regions that overlap a range, whole.
    pub fn overlapping(&self, lo: u64, hi: u64) -> impl Iterator<Item = Entry> + '_ {
        let before = self.regions.range(..lo).next_back().filter(|(_, r)| r.end > lo);
        before
            .into_iter()
            .chain(self.regions.range(lo..hi.max(lo)))
            .map(|(start, region)| entry(*start, region))
    }

    /// The range from `lo` to `hi` holds exactly `entries`, ascending: takes that in, and adds to
    /// `pieces` what it changes. An entry may reach beyond the range (a neighbour that was seen
    /// whole); what the table had there goes with it.
    pub fn replace(&mut self, lo: u64, hi: u64, entries: &[Entry], pieces: &mut Vec<Piece>) {
        let lo = entries.first().map_or(lo, |e| e.start.min(lo));
        let hi = entries.last().map_or(hi, |e| e.end.max(hi));
        if lo >= hi {
            return;
        }
        let mut old = std::mem::take(&mut self.scratch);
        old.extend(self.overlapping(lo, hi));
        if old == entries {
            diff::unchanged(entries, pieces);
        } else {
            let inside = |e: &Entry| e.part(e.start.max(lo), e.end.min(hi));
            diff::diff(old.iter().map(inside), entries.iter().copied(), pieces);
            self.exchange(lo, hi, &old, entries);
        }
        old.clear();
        self.scratch = old;
    }

    /// Puts `entries` in the place of `old`. A region that is in both keeps its figures.
    fn exchange(&mut self, lo: u64, hi: u64, old: &[Entry], entries: &[Entry]) {
        for stale in old.iter().filter(|stale| !entries.contains(stale)) {
            self.remove(stale.start);
            // What lies outside of the range stays; only a table that missed something has it.
            if stale.start < lo {
                self.insert(stale.part(stale.start, lo));
            }
            if stale.end > hi {
                self.insert(stale.part(hi, stale.end));
            }
        }
        for entry in entries.iter().filter(|entry| !old.contains(entry)) {
            self.insert(*entry);
        }
    }

    /// Notes RSS and dirty memory, in KiB, of the region that spans exactly these addresses.
    /// Returns whether there is one.
    pub fn note_usage(&mut self, start: u64, end: u64, rss: u64, dirty: u64) -> bool {
        let pages = |kib: u64| u32::try_from(kib / 4).unwrap_or(u32::MAX);
        match self.regions.get_mut(&start) {
            Some(region) if region.end == end => {
                region.usage = Some(Usage { rss: pages(rss), dirty: pages(dirty) });
                true
            }
            _ => false,
        }
    }

    /// Everything that is named by an index in use is kept by `keep`.
    pub fn visit_whats(&self, mut keep: impl FnMut(What)) {
        self.regions.values().for_each(|region| keep(region.what));
    }

    fn insert(&mut self, entry: Entry) {
        let Entry { start, end, offset, what, perms } = entry;
        self.bytes += end - start;
        self.regions.insert(start, Region { end, offset, what, perms, usage: None });
    }

    fn remove(&mut self, start: u64) {
        if let Some(region) = self.regions.remove(&start) {
            self.bytes -= region.end - start;
        }
    }
}

fn entry(start: u64, region: &Region) -> Entry {
    let Region { end, offset, what, perms, usage: _ } = *region;
    Entry { start, end, offset, what, perms }
}

#[cfg(test)]
mod tests;
