//! One followed address space: its table, the version that the table stands at, and what of it is
//! in doubt.

use std::collections::{BTreeMap, VecDeque};

use pmap_ebpf::{IterEntry, Section, Vma, flags, vma_kinds};

use super::{change::Reason, files::Files};
use crate::{
    model::{Mapping, Perms},
    table::{AddressSpace, Entry, Piece},
};

/// Bits of `vm_flags`, `include/linux/mm.h`.
const VM_MAYSHARE: u64 = 0x80;
/// How long a record may take from the kernel's count to the ring's end, in ns.
const LATE: u64 = 250_000_000;
/// 4 KiB pages: other sizes exist on other machines only.
const PAGE_SHIFT: u32 = 12;

/// An address space and what is known of it.
#[derive(Debug)]
pub struct Space {
    /// Its number, which no other ever has.
    pub id: u64,
    /// Key of its state in the kernel.
    pub key: u64,
    /// A process that uses it.
    pub owner: u32,
    /// Its regions.
    pub table: AddressSpace,
    /// Version that the table stands at.
    pub version: u64,
    /// `start_brk`, in bytes.
    pub start_brk: u64,
    /// `brk`, in bytes.
    pub brk: u64,
    /// `start_stack`, in bytes.
    pub start_stack: u64,
    /// Whether this kernel calls a region that only touches the heap `[heap]`.
    pub loose_heap: bool,
    /// Records that never came.
    pub lost: u64,
    /// How often all of it was told as it was asked for.
    pub wholes: u64,
    /// How often it was read again, by reason.
    pub rereads: BTreeMap<Reason, u64>,
    /// Pages that the kernel counts and no mapping has.
    uncounted: i64,
    /// Whether that was found inside a write section: beside a call that unmaps and has downgraded
    /// its lock already, the iterator reads a count that is yet to fall.
    counts_surely: bool,
    /// The newest version at which something is in doubt, and why.
    doubt: Option<(u64, Reason)>,
    /// Mappings read by the iterator, not yet taken in.
    incoming: VecDeque<IterEntry>,
    /// End of the last one that was taken in.
    incoming_from: u64,
    /// Version of the first one.
    incoming_since: u64,
    /// How far the parts of what the programs were asked for have come, and of which version.
    told_to: (u64, u64),
    /// Whether the first state was taken in.
    begun: bool,
    /// The version at which the table stood when the kernel was seen to be further, and when that
    /// was, in ns.
    behind: Option<(u64, u64)>,
    /// Of no meaning between two calls; kept for its room.
    scratch: Vec<Entry>,
}

/// A part of a reading that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Merged {
    /// Why it was read.
    pub(super) reason: Reason,
    /// Whether it was the last part, and nothing has come in doubt since.
    pub(super) healed: bool,
}

/// What a section did to the table.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The table follows.
    Sure,
    /// Counters show that nothing but the pieces happened; the section's call is not watched.
    Explained,
    /// Something is to be read again.
    Doubt,
}

impl Space {
    pub(super) fn new(id: u64, key: u64, owner: u32) -> Self {
        Self {
            id,
            key,
            owner,
            table: AddressSpace::default(),
            version: 0,
            start_brk: 0,
            brk: 0,
            start_stack: 0,
            loose_heap: false,
            lost: 0,
            wholes: 0,
            rereads: BTreeMap::new(),
            uncounted: 0,
            counts_surely: false,
            doubt: None,
            incoming: VecDeque::new(),
            incoming_from: 0,
            incoming_since: 0,
            told_to: (0, 0),
            begun: false,
            behind: None,
            scratch: Vec::new(),
        }
    }

    /// Whether the table is the kernel's at [`Self::version`], as far as anybody can tell.
    pub fn is_sure(&self) -> bool {
        self.begun && self.doubt.is_none() && self.incoming.is_empty()
    }

    /// Why the table is not sure, for a report of a defect.
    pub fn doubts(&self) -> String {
        format!(
            "version {}, doubt {:?}, begun {}, {} mappings read from version {} on, of which the \
             next is of version {:?}; behind {:?}",
            self.version,
            self.doubt,
            self.begun,
            self.incoming.len(),
            self.incoming_since,
            self.incoming.front().map(|entry| entry.version),
            self.behind,
        )
    }

    /// Whether it is to be read again now.
    pub fn wants_reading(&self) -> bool {
        self.incoming.is_empty() && (self.doubt.is_some() || !self.begun)
    }

    /// Puts the table in doubt from a version on.
    pub(super) fn doubt(&mut self, version: u64, reason: Reason) {
        tracing::debug!(space = self.id, version, reason = reason.name(), "doubt");
        let version = self.doubt.map_or(version, |(v, _)| v.max(version));
        let reason = self.doubt.map_or(reason, |(_, r)| r);
        self.doubt = Some((version, reason));
    }

    /// Takes in what the iterator read: each mapping is merged in where its version stands among
    /// the records. Nothing that was read counts as "not there": the process may be on its way out.
    pub(super) fn read(&mut self, entries: Vec<IterEntry>) {
        let Some(first) = entries.first() else { return };
        if !self.begun {
            // The records of its beginning were lost: it begins here.
            self.version = self.version.max(first.version);
        }
        self.incoming_from = 0;
        self.incoming_since = first.version;
        self.start_brk = first.start_brk;
        self.start_stack = first.start_stack;
        self.incoming = entries.into();
    }

    /// Takes in what was read at versions before `version`; says so where that is not the beginning.
    fn advance(
        &mut self,
        version: u64,
        files: &mut Files,
        pieces: &mut Vec<Piece>,
    ) -> Option<Merged> {
        let reason = self.doubt.filter(|_| self.begun).map(|(_, reason)| reason);
        let mut last = None;
        while let Some(entry) = self.incoming.front()
            && entry.version < version
        {
            let entry = *entry;
            self.incoming.pop_front();
            let region = region(&entry.vma, files);
            let from = self.incoming_from.min(region.start);
            self.table.replace(from, region.end, &[region], pieces);
            self.incoming_from = region.end;
            last = Some(entry);
        }
        let last = last?;
        if !self.incoming.is_empty() {
            return reason.map(|reason| Merged { reason, healed: false });
        }
        self.table.replace(self.incoming_from, u64::MAX, &[], pieces);
        if self.begun {
            // Their records would have come before this.
            self.lost += last.version.saturating_sub(self.version);
        }
        self.version = self.version.max(last.version);
        self.brk = last.brk;
        let first = !self.begun;
        self.begun = true;
        let healed = self.doubt.is_some_and(|(since, _)| since <= self.incoming_since);
        if healed {
            self.doubt = None;
        }
        if first {
            self.uncounted = counted(last.total_vm) - self.pages();
        }
        reason.map(|reason| Merged { reason, healed })
    }

    /// Takes in what was read at versions whose records are taken in already.
    pub(super) fn settle(&mut self, files: &mut Files, pieces: &mut Vec<Piece>) -> Option<Merged> {
        self.advance(self.version + 1, files, pieces)
    }

    /// Versions that were skipped if a record of `version` comes now.
    pub(super) fn note_version(
        &mut self,
        version: u64,
        files: &mut Files,
        pieces: &mut Vec<Piece>,
    ) -> Option<Merged> {
        let merged = self.advance(version, files, pieces);
        if self.begun && version > self.version + 1 {
            self.lost += version - self.version - 1;
            self.doubt(version - 1, Reason::Lost);
        }
        merged
    }

    /// The state at the very beginning, or a part of it.
    pub(super) fn initial(
        &mut self,
        head_flags: u32,
        section: &Section,
        vmas: impl Iterator<Item = Vma>,
        files: &mut Files,
    ) {
        self.put(section, vmas, files, &mut Vec::new());
        self.version = self.version.max(section.version);
        self.brk = section.brk;
        if head_flags & flags::MORE == 0 {
            self.begun = true;
            self.uncounted = counted(section.total_vm) - self.pages();
            self.counts_surely = true;
            if self.table.is_empty() && section.map_count > 0 {
                // Nothing could be read, so there is nothing to count either.
                self.counts_surely = false;
                self.doubt(section.version, Reason::Unread);
            } else if self.table.len() != section.map_count as usize {
                self.doubt(section.version, Reason::Counters);
            }
        }
    }

    /// A part of the whole address space, as the end of a write section had it: nothing that was read
    /// before counts any more. `None` where a part before it was lost.
    pub(super) fn asked(
        &mut self,
        head_flags: u32,
        section: &Section,
        vmas: impl Iterator<Item = Vma>,
        files: &mut Files,
        pieces: &mut Vec<Piece>,
    ) -> Option<Merged> {
        // Parts of one version only: what lies between two may have been lost.
        if section.lo != 0 && (section.lo, section.version) != self.told_to {
            return None;
        }
        if self.begun && section.version > self.version {
            self.lost += section.version - self.version;
            self.doubt(section.version, Reason::Lost);
        }
        let reason = self.doubt.filter(|_| self.begun).map(|(_, reason)| reason);
        self.version = section.version;
        self.brk = section.brk;
        self.incoming.clear();
        self.put(section, vmas, files, pieces);
        self.told_to = (section.hi, section.version);
        if head_flags & flags::MORE != 0 {
            return reason.map(|reason| Merged { reason, healed: false });
        }
        self.wholes += 1;
        self.begun = true;
        self.doubt = None;
        self.uncounted = counted(section.total_vm) - self.pages();
        self.counts_surely = true;
        if self.table.len() != section.map_count as usize {
            self.doubt(section.version, Reason::Counters);
        }
        reason.map(|reason| Merged { reason, healed: true })
    }

    /// Puts what a section tells in the place of what was there.
    fn put(
        &mut self,
        section: &Section,
        vmas: impl Iterator<Item = Vma>,
        files: &mut Files,
        pieces: &mut Vec<Piece>,
    ) {
        self.scratch.clear();
        self.scratch.extend(vmas.map(|vma| region(&vma, files)));
        self.table.replace(section.lo, section.hi, &self.scratch, pieces);
    }

    /// A write section: what it left. `vmas` speak for the range from `lo` to `hi`.
    pub(super) fn section(
        &mut self,
        head_flags: u32,
        section: &Section,
        vmas: impl Iterator<Item = Vma>,
        files: &mut Files,
        pieces: &mut Vec<Piece>,
    ) -> Outcome {
        self.version = section.version;
        self.brk = section.brk;
        // Results have no version whose absence would show.
        self.lost = self.lost.max(section.lost);
        if head_flags & flags::UNREAD != 0 {
            self.doubt(section.version, Reason::Unread);
            return Outcome::Doubt;
        }
        if section.lo < section.hi {
            self.put(section, vmas, files, pieces);
        }
        if head_flags & flags::TRUNCATED != 0 {
            self.doubt(section.version, Reason::Truncated);
        }
        let unknown = head_flags & flags::EXTENT_UNKNOWN != 0;
        if unknown && !self.is_sure() {
            // The counters cannot judge it now, and what was read before it does not know of it.
            self.doubt(section.version, Reason::Extent);
        }
        if head_flags & flags::MORE != 0 || !self.is_sure() {
            return if self.is_sure() { Outcome::Sure } else { Outcome::Doubt };
        }
        let uncounted = counted(section.total_vm) - self.pages();
        // `total_vm` follows only after a downgrade in what unmaps (`vms_complete_munmap_vmas` of
        // `mm/vma.c`); a stack that grows, whose extent nothing tells, has it counted before.
        let counts = unknown || head_flags & flags::DOWNGRADE == 0;
        let agrees = self.table.len() == section.map_count as usize;
        if agrees && !unknown && counts && !self.counts_surely {
            self.counts_surely = true;
            self.uncounted = uncounted;
        }
        let agrees = agrees && (!counts || uncounted == self.uncounted);
        match (agrees, unknown) {
            (true, false) => Outcome::Sure,
            (true, true) => Outcome::Explained,
            (false, _) => {
                let reason = if unknown { Reason::Extent } else { Reason::Counters };
                self.doubt(section.version, reason);
                Outcome::Doubt
            }
        }
    }

    /// The kernel counts `version` sections at the time `now`, in ns. Records that do not come for
    /// a while after that were lost: a moment, because the ring hands out nothing behind a record
    /// that another CPU is still writing.
    pub(super) fn caught_up(&mut self, version: u64, now: u64) {
        if !self.begun || version <= self.version {
            self.behind = None;
            return;
        }
        match self.behind {
            Some((at, since)) if at == self.version => {
                if now.saturating_sub(since) > LATE {
                    self.lost += version - self.version;
                    self.version = version;
                    self.doubt(version, Reason::Lost);
                    self.behind = None;
                }
            }
            _ => self.behind = Some((self.version, now)),
        }
    }

    /// A region of this address space in the words of `/proc/PID/maps`. A name that is not known
    /// in full is its last component; one that is not known at all is empty.
    pub fn mapping<'a>(&self, entry: &Entry, files: &'a Files) -> Mapping<'a> {
        let identity = files.get(entry.what);
        let name: &[u8] = match (&identity.text, &identity.base) {
            _ if !entry.what.is_file() && !identity.special && self.is_heap(entry) => b"[heap]",
            _ if !entry.what.is_file() && !identity.special && self.is_stack(entry) => b"[stack]",
            (Some(text), _) => text,
            (None, Some(base)) => base,
            (None, None) => b"",
        };
        Mapping {
            start: entry.start,
            end: entry.end,
            perms: entry.perms,
            offset: entry.offset,
            device: identity.device,
            inode: identity.inode,
            name,
        }
    }

    /// `vma_is_initial_heap` of `include/linux/mm.h`; before 6.6, `fs/proc/task_mmu.c` let a region
    /// that only touches the heap count as a part of it.
    fn is_heap(&self, entry: &Entry) -> bool {
        if self.loose_heap {
            entry.start <= self.brk && entry.end >= self.start_brk
        } else {
            entry.start < self.brk && entry.end > self.start_brk
        }
    }

    /// `vma_is_initial_stack`.
    fn is_stack(&self, entry: &Entry) -> bool {
        entry.start <= self.start_stack && entry.end >= self.start_stack
    }

    fn pages(&self) -> i64 {
        counted(self.table.bytes() >> PAGE_SHIFT)
    }
}

/// Counts of pages fit in 52 bits.
fn counted(pages: u64) -> i64 {
    pages.cast_signed()
}

/// A region of the table from a mapping of the kernel.
fn region(vma: &Vma, files: &mut Files) -> Entry {
    let shared = if vma.flags & VM_MAYSHARE != 0 { Perms::SHARED.bits() } else { 0 };
    let has_file = matches!(vma.kind, vma_kinds::FILE | vma_kinds::NAMED_FILE);
    Entry {
        start: vma.start,
        end: vma.end.max(vma.start.saturating_add(1)),
        offset: if has_file { vma.pgoff << PAGE_SHIFT } else { 0 },
        what: files.intern(vma),
        // `VM_READ`, `VM_WRITE` and `VM_EXEC` are the low three bits.
        perms: Perms::from_bits((vma.flags & 7) as u8 | shared),
    }
}
