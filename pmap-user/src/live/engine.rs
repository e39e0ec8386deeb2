//! Many address spaces, and the calls that change them: every record goes in here, changes come
//! out in the order of each address space's versions.

use std::collections::{BTreeMap, VecDeque};

use pmap_ebpf::{Header, IterEntry, Section, SyscallResult, class, flags};

use super::{
    change::{Call, Change, Op, Reason},
    files::Files,
    space::{Merged, Outcome, Space},
};
use crate::{
    record::{Body, Record, Vmas},
    syscalls,
    table::{Piece, Verdict},
};

/// A change waits this long for its call to return before it is told without a result, in ns.
const PATIENCE: u64 = 1_000_000_000;
/// `MAP_FIXED`.
const MAP_FIXED: u64 = 0x10;
/// `PR_SET_MM` of `include/uapi/linux/prctl.h`.
const PR_SET_MM: u64 = 35;

/// What was seen since the beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Changes that were told, by name.
    pub changes: BTreeMap<&'static str, u64>,
    /// Bytes that came to be mapped.
    pub mapped: u64,
    /// Bytes that ceased to be.
    pub unmapped: u64,
    /// Write sections.
    pub versions: u64,
    /// Records that no version of this program knows.
    pub unknown: u64,
    /// Versions whose records never came.
    pub lost: u64,
    /// Times that an address space was read again, by reason.
    pub rereads: BTreeMap<Reason, u64>,
}

/// A change whose call has not returned.
#[derive(Debug)]
struct Pending {
    change: Change,
    waiting: bool,
}

/// Joins records to tables.
#[derive(Debug, Default)]
pub struct Engine {
    spaces: BTreeMap<u64, Space>,
    pending: BTreeMap<u64, VecDeque<Pending>>,
    /// Names, shared by all address spaces.
    pub files: Files,
    /// Address spaces that ended, kept until what they changed is told.
    ended: Vec<u64>,
    /// Failed calls are told too.
    pub failed: bool,
    /// See [`Space::loose_heap`].
    pub loose_heap: bool,
    totals: Totals,
}

impl Engine {
    /// The address spaces, by number.
    pub fn spaces(&self) -> impl Iterator<Item = &Space> {
        self.spaces.values()
    }

    /// An address space.
    pub fn space(&self, id: u64) -> Option<&Space> {
        self.spaces.get(&id)
    }

    /// An address space, to note figures in.
    pub fn space_mut(&mut self, id: u64) -> Option<&mut Space> {
        self.spaces.get_mut(&id)
    }

    /// Files and an address space at once.
    pub fn files_and_space(&mut self, id: u64) -> (&mut Files, Option<&mut Space>) {
        (&mut self.files, self.spaces.get_mut(&id))
    }

    /// What was seen so far.
    pub fn totals(&self) -> Totals {
        let mut totals = self.totals.clone();
        for space in self.spaces.values() {
            totals.lost += space.lost;
            for (reason, count) in &space.rereads {
                *totals.rereads.entry(*reason).or_default() += count;
            }
        }
        totals
    }

    /// Takes in what the iterator read of an address space, which begins with that where it is
    /// new. Returns its number.
    pub fn read(&mut self, owner: u32, entries: Vec<IterEntry>) -> Option<u64> {
        let first = *entries.first()?;
        let space = self
            .spaces
            .entry(first.space)
            .or_insert_with(|| Space::new(first.space, first.key, owner));
        space.key = first.key;
        space.loose_heap = self.loose_heap;
        space.read(entries);
        Some(first.space)
    }

    /// Puts an address space in doubt: it is read again.
    pub fn doubt(&mut self, id: u64, reason: Reason) {
        if let Some(space) = self.spaces.get_mut(&id) {
            space.doubt(space.version, reason);
        }
    }

    /// The ring was emptied after the kernel's count of sections was found to be `kernel_version`, at
    /// the time `now` in ns. Takes in what was read of versions that are reached.
    pub fn caught_up(&mut self, id: u64, kernel_version: u64, now: u64, out: &mut Vec<Change>) {
        let Self { spaces, files, .. } = self;
        let Some(space) = spaces.get_mut(&id) else { return };
        let mut pieces = Vec::new();
        if let Some(merged) = space.settle(files, &mut pieces) {
            let head = Header { time: now, space: id, pid: space.owner, ..Header::default() };
            let version = space.version;
            self.merged(&head, version, merged, pieces);
            self.flush(id, out);
        }
        if let Some(space) = self.spaces.get_mut(&id) {
            space.caught_up(kernel_version, now);
        }
    }

    /// Changes that waited too long for their call to return are told without its result.
    pub fn tick(&mut self, now: u64, out: &mut Vec<Change>) {
        let ids: Vec<u64> = self.pending.keys().copied().collect();
        for id in ids {
            if let Some(queue) = self.pending.get_mut(&id) {
                for pending in queue.iter_mut() {
                    if now.saturating_sub(pending.change.time) > PATIENCE {
                        pending.waiting = false;
                    }
                }
            }
            self.flush(id, out);
        }
    }

    /// Takes in a record; adds what is to be told to `out`.
    pub fn record(&mut self, record: &Record<'_>, out: &mut Vec<Change>) {
        let head = &record.head;
        match &record.body {
            Body::Section(section, vmas) => self.section(head, section, *vmas, out),
            Body::Result(result) => self.result(head, result, out),
            Body::Space(space) => {
                let child = space.owner;
                let forked = head.flags & flags::FORK != 0;
                if space.key != 0 {
                    let mut new = Space::new(head.space, space.key, space.owner);
                    new.start_brk = space.start_brk;
                    new.start_stack = space.start_stack;
                    new.loose_heap = self.loose_heap;
                    self.spaces.insert(head.space, new);
                }
                let op = if forked { Op::Fork { child } } else { Op::Exec };
                // An exec is told with the image's first mappings, which follow.
                self.queue(head, 0, op, Vec::new(), !forked);
                self.flush(head.space, out);
            }
            Body::SpaceEnd => self.end(head.space, out),
            Body::Exit(exit) => {
                self.release(head.space, out);
                self.queue(head, 0, Op::Exit { status: exit.status }, Vec::new(), false);
                self.flush(head.space, out);
            }
            Body::Name(name) => self.files.name(name),
            Body::Unknown => self.totals.unknown += 1,
        }
    }

    fn section(&mut self, head: &Header, section: &Section, vmas: Vmas<'_>, out: &mut Vec<Change>) {
        let Self { spaces, files, totals, .. } = self;
        let Some(space) = spaces.get_mut(&head.space) else { return };
        if head.flags & flags::INITIAL != 0 {
            space.initial(head.flags, section, vmas, files);
            if head.flags & flags::MORE == 0 {
                let image = space.table.iter().map(Verdict::Added).collect();
                self.begin(head.space, image);
                self.flush(head.space, out);
            }
            return;
        }
        if section.version < space.version {
            // Given up for lost, and since then read again.
            return;
        }
        if head.flags & flags::ASKED != 0 {
            let mut pieces = Vec::new();
            if let Some(merged) = space.asked(head.flags, section, vmas, files, &mut pieces) {
                self.merged(head, section.version, merged, pieces);
                self.flush(head.space, out);
            }
            return;
        }
        let mut reread = Vec::new();
        let merged = space.note_version(section.version, files, &mut reread);
        if section.version > space.version {
            totals.versions += 1;
        }
        let mut pieces = Vec::new();
        let outcome = space.section(head.flags, section, vmas, files, &mut pieces);
        let version = section.version;
        if let Some(merged) = merged {
            self.merged(head, version, merged, reread);
        }
        let compat = head.flags & flags::COMPAT != 0;
        let watched = if u32::from(class::NONE) == section.class {
            None
        } else {
            syscalls::watched(section.nr, compat)
        };
        // A call of which the extent is not known may have moved things without a trace in the
        // counters: one piece more here, one less there.
        if outcome == Outcome::Explained
            && section.nr >= 0
            && !grows_down(&pieces)
            && !is_harmless(section.nr, compat)
            && !(section.class == u32::from(class::SHMDT)
                && pieces.iter().any(|piece| matches!(piece, Verdict::Removed(_))))
        {
            self.doubt(head.space, Reason::Extent);
        }
        let op = match watched {
            Some(syscall) => Op::Call(Call { syscall, compat, outcome: None }),
            None if section.nr >= 0 && !grows_down(&pieces) => {
                Op::OtherCall { nr: section.nr, compat }
            }
            None if head.flags & flags::REMOTE != 0 => Op::Other,
            None if grows_down(&pieces) => Op::Stack,
            None => Op::Other,
        };
        let waits = matches!(op, Op::Call(_));
        self.queue(head, version, op, pieces, waits);
        self.flush(head.space, out);
    }

    /// What was read again is told, part by part as it is taken in, and counted at its end.
    fn merged(&mut self, head: &Header, version: u64, merged: Merged, pieces: Vec<Piece>) {
        let Merged { reason, healed } = merged;
        if healed && let Some(space) = self.spaces.get_mut(&head.space) {
            *space.rereads.entry(reason).or_default() += 1;
        }
        self.queue(head, version, Op::Reread(reason), pieces, false);
    }

    /// The first state of an address space is taken in: the exec that brought it can be told.
    fn begin(&mut self, id: u64, image: Vec<Piece>) {
        let first = self.pending.get_mut(&id).and_then(|queue| {
            queue.iter_mut().find(|pending| pending.change.op == Op::Exec && pending.waiting)
        });
        if let Some(pending) = first {
            pending.change.pieces = image;
            pending.waiting = false;
        }
    }

    fn result(&mut self, head: &Header, result: &SyscallResult, out: &mut Vec<Change>) {
        let compat = head.flags & flags::COMPAT != 0;
        let Some(syscall) = syscalls::watched(result.nr, compat) else { return };
        // The kernel moves what it calls heap and stack under the read lock (`prctl_set_mm_map` of
        // `kernel/sys.c`): no write section tells.
        if syscall.class == class::PRCTL && result.args[0] == PR_SET_MM && result.ret >= 0 {
            self.doubt(head.space, Reason::Extent);
        }
        let outcome = Some((result.args, result.ret));
        let mut found = false;
        for pending in self.pending.get_mut(&head.space).into_iter().flatten() {
            if let Op::Call(call) = &mut pending.change.op
                && pending.waiting
                && pending.change.tid == head.tid
            {
                if call.syscall == syscall {
                    call.outcome = outcome;
                    found = true;
                }
                pending.waiting = false;
            }
        }
        if !found && self.failed && is_error(result.ret) {
            let op = Op::Call(Call { syscall, compat, outcome });
            self.queue(head, 0, op, Vec::new(), false);
        }
        self.flush(head.space, out);
    }

    fn queue(&mut self, head: &Header, version: u64, op: Op, pieces: Vec<Piece>, waiting: bool) {
        let &Header { time, space, pid, tid, comm, .. } = head;
        let change = Change { time, space, version, pid, tid, comm, op, pieces };
        let queue = self.pending.entry(space).or_default();
        // The parts of one call are one change.
        if let Some(last) = queue.back_mut()
            && last.waiting
            && waiting
            && last.change.tid == tid
            && last.change.version == version
        {
            last.change.pieces.extend(change.pieces);
            return;
        }
        queue.push_back(Pending { change, waiting });
    }

    /// Tells what no longer waits, up to the first that does.
    fn flush(&mut self, id: u64, out: &mut Vec<Change>) {
        let Some(queue) = self.pending.get_mut(&id) else { return };
        while queue.front().is_some_and(|pending| !pending.waiting) {
            let Some(Pending { mut change, .. }) = queue.pop_front() else { return };
            finish(&mut change);
            if is_told(&change, self.failed) {
                self.totals.count(&change);
                out.push(change);
            }
        }
    }

    /// Lets go of everything that still waits.
    fn release(&mut self, id: u64, out: &mut Vec<Change>) {
        for pending in self.pending.get_mut(&id).into_iter().flatten() {
            pending.waiting = false;
        }
        self.flush(id, out);
    }

    fn end(&mut self, id: u64, out: &mut Vec<Change>) {
        self.release(id, out);
        self.ended.push(id);
    }

    /// Forgets the address spaces that ended, once what they changed was told.
    pub fn reap(&mut self) {
        if self.ended.is_empty() {
            return;
        }
        for id in std::mem::take(&mut self.ended) {
            if let Some(space) = self.spaces.remove(&id) {
                self.totals.lost += space.lost;
                for (reason, count) in space.rereads {
                    *self.totals.rereads.entry(reason).or_default() += count;
                }
            }
        }
        // An exit may be told after its address space ended.
        self.pending.retain(|id, queue| !queue.is_empty() || self.spaces.contains_key(id));
    }
}

impl Totals {
    fn count(&mut self, change: &Change) {
        *self.changes.entry(change.name()).or_default() += 1;
        for piece in &change.pieces {
            match piece {
                Verdict::Added(e) => self.mapped += e.end - e.start,
                Verdict::Removed(e) => self.unmapped += e.end - e.start,
                Verdict::Changed(..) | Verdict::Kept(_) => {}
            }
        }
    }
}

/// Whether a call's result is `-errno`.
pub(crate) fn is_error(ret: i64) -> bool {
    (-4095..0).contains(&ret)
}

/// A length in bytes, up to the end of its last page.
fn pages(len: u64) -> u64 {
    len.checked_next_multiple_of(4096).unwrap_or(u64::MAX)
}

/// Leaves out what stayed as it was, but for what a call put in the place of its like.
fn finish(change: &mut Change) {
    let replaced = match change.op {
        Op::Call(Call { syscall, outcome: Some((args, ret)), .. }) if !is_error(ret) => {
            let at = ret.cast_unsigned();
            match syscall.class {
                class::MMAP if args[3] & MAP_FIXED != 0 => {
                    Some((at, at.saturating_add(pages(args[1]))))
                }
                class::MREMAP if at != args[0] => Some((at, at.saturating_add(pages(args[2])))),
                _ => None,
            }
        }
        _ => None,
    };
    let Some(replaced) = replaced else {
        change.pieces.retain(|piece| !matches!(piece, Verdict::Kept(_)));
        return;
    };
    let (lo, hi) = replaced;
    let pieces = std::mem::take(&mut change.pieces);
    // Another part of the call may see again what one of them has brought.
    let mut brought: Vec<(u64, u64)> = pieces
        .iter()
        .filter_map(|piece| match piece {
            Verdict::Added(e) | Verdict::Changed(_, e) => Some((e.start, e.end)),
            Verdict::Removed(_) | Verdict::Kept(_) => None,
        })
        .collect();
    brought.sort_unstable();
    for piece in pieces {
        match piece {
            Verdict::Kept(e) => {
                for (start, end) in without(e.start.max(lo), e.end.min(hi), &brought) {
                    let mut part = e;
                    part.start = start;
                    part.end = end;
                    if part.what.is_file() {
                        part.offset = e.offset + (start - e.start);
                    }
                    change.pieces.push(Verdict::Removed(part));
                    change.pieces.push(Verdict::Added(part));
                }
            }
            _ => change.pieces.push(piece),
        }
    }
}

/// What is left of a range without others, which are in ascending order.
fn without(mut lo: u64, hi: u64, others: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut left = Vec::new();
    for &(start, end) in others {
        if start.min(hi) > lo {
            left.push((lo, start.min(hi)));
        }
        lo = lo.max(end);
    }
    if lo < hi {
        left.push((lo, hi));
    }
    left
}

fn is_told(change: &Change, failed: bool) -> bool {
    match &change.op {
        Op::Exec | Op::Fork { .. } | Op::Exit { .. } => true,
        Op::Call(Call { outcome: Some((_, ret)), .. }) if failed && is_error(*ret) => true,
        _ => !change.pieces.is_empty(),
    }
}

/// Whether the only thing that happened is that a region grew towards lower addresses.
fn grows_down(pieces: &[Piece]) -> bool {
    let mut added = pieces.windows(2).filter(|pair| {
        matches!(pair, [Verdict::Added(a), Verdict::Kept(b)]
            if a.end == b.start && a.perms == b.perms && a.what == b.what)
    });
    let others = pieces.iter().filter(|p| !matches!(p, Verdict::Kept(_))).count();
    added.next().is_some() && others == 1
}

/// Calls that take the lock for writing and move nothing: `pkey_alloc`, `pkey_free`, and those
/// that copy to a stack, which may grow.
fn is_harmless(nr: i32, compat: bool) -> bool {
    if compat { matches!(nr, 3 | 4 | 381 | 382) } else { matches!(nr, 0 | 1 | 17..=20 | 330 | 331) }
}

#[cfg(test)]
mod tests;
