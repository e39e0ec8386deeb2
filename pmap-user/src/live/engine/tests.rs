use pmap_ebpf::{HEADER_LEN, SECTION_LEN, VMA_LEN, Vma, flags, kinds};

use super::{
    super::{Healing, Remedy},
    *,
};
use crate::{record, table::Entry};

const PAGE: u64 = 4096;
const SPACE: u64 = 7;

/// The bytes of records, as the kernel writes them.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Bytes {
    fn u16(mut self, value: u16) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_ne_bytes());
        self
    }

    fn head(self, kind: u16, flags: u32, tid: u32) -> Self {
        let head = self.u16(kind).u16(pmap_ebpf::ABI).u32(flags).u64(1000).u64(SPACE);
        let head = head.u32(1).u32(tid).u64(0).u64(0);
        assert_eq!(head.0.len(), HEADER_LEN);
        head
    }
}

/// An anonymous mapping, in pages.
fn vma(start: u64, pages: u64) -> Vma {
    Vma { start: start * PAGE, end: (start + pages) * PAGE, flags: 3, ..Vma::default() }
}

/// A section of version `version` in which `tid` called `class`, that leaves `vmas` in a range of
/// pages, and the counters that `all` has.
fn section(
    version: u64,
    tid: u32,
    call: &str,
    range: (u64, u64),
    vmas: &[Vma],
    all: &[Vma],
) -> Vec<u8> {
    let call = syscalls::WATCHED.iter().find(|c| c.name == call).unwrap();
    let pages: u64 = all.iter().map(|v| (v.end - v.start) / PAGE).sum();
    let mut bytes = Bytes::default()
        .head(kinds::SECTION, 0, tid)
        .u64(version)
        .u64(range.0 * PAGE)
        .u64(range.1 * PAGE)
        .u64(pages)
        .u64(0)
        .u64(0)
        .u32(all.len() as u32)
        .u32(u32::from(call.native.unwrap()))
        .u32(vmas.len() as u32)
        .u32(u32::from(call.class));
    assert_eq!(bytes.0.len(), HEADER_LEN + SECTION_LEN);
    for vma in vmas {
        bytes = bytes.u64(vma.start).u64(vma.end).u64(vma.pgoff).u64(vma.flags).u64(0).u64(0);
        bytes = bytes.u32(0).u32(0).u32(0).u32(0);
    }
    assert_eq!(bytes.0.len(), HEADER_LEN + SECTION_LEN + vmas.len() * VMA_LEN);
    bytes.0
}

/// A section with further flags.
fn flagged(flags: u32, mut section: Vec<u8>) -> Vec<u8> {
    section[4..8].copy_from_slice(&flags.to_ne_bytes());
    section
}

fn is_sure(engine: &Engine) -> bool {
    engine.space(SPACE).unwrap().is_sure()
}

fn result(tid: u32, call: &str, args: [u64; 3], ret: i64) -> Vec<u8> {
    let call = syscalls::WATCHED.iter().find(|c| c.name == call).unwrap();
    let bytes = Bytes::default().head(kinds::RESULT, 0, tid).u64(ret.cast_unsigned());
    let bytes = bytes.u64(args[0]).u64(args[1]).u64(args[2]).u64(0).u64(0).u64(0);
    bytes.u32(u32::from(call.native.unwrap())).u32(u32::from(call.class)).0
}

fn read_at(version: u64, vmas: &[Vma]) -> Vec<IterEntry> {
    let pages = vmas.iter().map(|v| (v.end - v.start) / PAGE).sum();
    let map_count = vmas.len() as u32;
    let entry = |vma: &Vma| IterEntry {
        version,
        space: SPACE,
        total_vm: pages,
        map_count,
        pid: 1,
        vma: *vma,
        ..IterEntry::default()
    };
    vmas.iter().map(entry).collect()
}

/// An engine that follows an address space of one mapping.
fn engine(vmas: &[Vma]) -> Engine {
    let mut engine = Engine::default();
    engine.read(1, read_at(0, vmas));
    engine.caught_up(SPACE, 0, 0, &mut Vec::new());
    assert!(is_sure(&engine));
    engine
}

fn feed(engine: &mut Engine, records: &[Vec<u8>]) -> Vec<Change> {
    let mut out = Vec::new();
    for bytes in records {
        engine.record(&record::decode(bytes).unwrap(), &mut out);
    }
    out
}

fn table(engine: &Engine) -> Vec<(u64, u64)> {
    let entries = engine.space(SPACE).unwrap().table.iter();
    entries.map(|e: Entry| (e.start / PAGE, e.end / PAGE)).collect()
}

/// Check that a change is told once its call has returned, with what the call was asked and said.
#[test]
fn a_change_waits_for_its_result() {
    let (a, b) = (vma(10, 2), vma(20, 1));
    let mut engine = engine(&[a]);
    let out = feed(&mut engine, &[section(1, 5, "mmap", (12, 30), &[b], &[a, b])]);
    assert!(out.is_empty());
    let out = feed(&mut engine, &[result(5, "mmap", [0, PAGE, 3], (20 * PAGE).cast_signed())]);
    let [change] = &out[..] else { panic!("{out:?}") };
    assert_eq!((change.version, change.name()), (1, "mmap"));
    let Op::Call(Call { outcome: Some((args, ret)), .. }) = change.op else { panic!() };
    assert_eq!((args[1], ret), (PAGE, (20 * PAGE).cast_signed()));
    assert!(matches!(change.pieces[..], [Verdict::Added(_)]));
    assert_eq!(table(&engine), [(10, 12), (20, 21)]);
}

/// Check that changes of two threads are told in the order of their versions, not of their returns.
#[test]
fn versions_order_the_stream() {
    let (a, b, c) = (vma(10, 2), vma(20, 1), vma(30, 1));
    let mut engine = engine(&[a]);
    let out = feed(
        &mut engine,
        &[
            section(1, 5, "mmap", (12, 30), &[b], &[a, b]),
            section(2, 6, "mmap", (21, 40), &[c], &[a, b, c]),
            result(6, "mmap", [0; 3], 30),
            result(5, "mmap", [0; 3], 20),
        ],
    );
    assert_eq!(out.iter().map(|c| (c.version, c.tid)).collect::<Vec<_>>(), [(1, 5), (2, 6)]);
}

/// Check that a change whose call does not return is told all the same, after a while.
#[test]
fn patience_ends() {
    let (a, b) = (vma(10, 2), vma(20, 1));
    let mut engine = engine(&[a]);
    feed(&mut engine, &[section(1, 5, "mmap", (12, 30), &[b], &[a, b])]);
    let mut out = Vec::new();
    engine.tick(1000 + PATIENCE, &mut out);
    assert!(out.is_empty());
    engine.tick(1001 + PATIENCE, &mut out);
    assert!(matches!(out[..], [Change { op: Op::Call(Call { outcome: None, .. }), .. }]));
}

/// Check that a version which never comes is counted, and heals when the mappings were read at it
/// or later; and that what heals is told.
#[test]
fn a_lost_record_heals() {
    let (a, b, c) = (vma(10, 2), vma(20, 1), vma(30, 1));
    let mut engine = engine(&[a]);
    feed(&mut engine, &[section(3, 5, "mmap", (21, 40), &[c], &[a, b, c])]);
    assert!(!is_sure(&engine));
    assert!(engine.space(SPACE).unwrap().wants_reading());
    assert_eq!(engine.totals().lost, 2);
    engine.read(1, read_at(3, &[a, b, c]));
    let mut out = Vec::new();
    engine.caught_up(SPACE, 3, 0, &mut out);
    assert!(is_sure(&engine));
    assert_eq!(table(&engine), [(10, 12), (20, 21), (30, 31)]);
    feed(&mut engine, &[result(5, "mmap", [0; 3], 30)]);
    engine.tick(u64::MAX, &mut out);
    assert_eq!(engine.totals().rereads[&Reason::Lost], 1);
}

/// Check that a record which was written after the mappings were read is not undone by them.
#[test]
fn a_reading_is_merged_in_at_its_version() {
    let (a, b) = (vma(10, 2), vma(20, 1));
    let mut engine = engine(&[a]);
    engine.doubt(SPACE, Reason::Drift);
    // Read at version 1, when `b` was there; version 2 took it away.
    engine.read(1, read_at(1, &[a, b]));
    feed(
        &mut engine,
        &[
            section(1, 5, "mmap", (12, 30), &[b], &[a, b]),
            section(2, 5, "munmap", (12, 30), &[], &[a]),
        ],
    );
    engine.caught_up(SPACE, 2, 0, &mut Vec::new());
    assert_eq!(table(&engine), [(10, 12)]);
    assert!(is_sure(&engine));
}

/// Check that a mapping which was merged with one that had been read already is taken in whole.
#[test]
fn a_merge_during_a_reading_is_taken_in() {
    let (a, b, merged) = (vma(10, 2), vma(20, 1), vma(10, 4));
    let mut engine = engine(&[a, b]);
    engine.doubt(SPACE, Reason::Drift);
    let entries = [read_at(0, &[a]), read_at(1, &[merged, b])].concat();
    engine.read(1, entries);
    feed(
        &mut engine,
        &[
            section(1, 5, "mmap", (10, 20), &[merged], &[merged, b]),
            section(2, 5, "mprotect", (20, 21), &[b], &[merged, b]),
        ],
    );
    assert!(is_sure(&engine));
    assert_eq!(table(&engine), [(10, 14), (20, 21)]);
}

/// Check that counters which disagree with the table put it in doubt.
#[test]
fn counters_are_checked() {
    let (a, b, c) = (vma(10, 2), vma(20, 1), vma(30, 1));
    let mut engine = engine(&[a]);
    feed(&mut engine, &[section(1, 5, "mmap", (12, 30), &[b], &[a, b, c])]);
    assert!(engine.space(SPACE).unwrap().wants_reading());
}

/// Check that failed calls are told only on request.
#[test]
fn failures_are_told_on_request() {
    let failure = result(5, "mmap", [0; 3], -12);
    let mut engine = engine(&[vma(10, 2)]);
    assert!(feed(&mut engine, std::slice::from_ref(&failure)).is_empty());
    engine.failed = true;
    assert_eq!(feed(&mut engine, &[failure]).len(), 1);
}

/// Check that memory mapped in the place of its like is told as gone and come.
#[test]
fn a_fixed_mapping_replaces_its_like() {
    let a = vma(10, 4);
    let mut engine = engine(&[a]);
    let mut fixed = result(5, "mmap", [11 * PAGE, PAGE, 3], (11 * PAGE).cast_signed());
    let flags = HEADER_LEN + 8 + 3 * 8;
    fixed[flags..flags + 8].copy_from_slice(&MAP_FIXED.to_ne_bytes());
    let out = feed(&mut engine, &[section(1, 5, "mmap", (10, 14), &[a], &[a]), fixed]);
    let [Change { pieces, .. }] = &out[..] else { panic!("{out:?}") };
    assert!(matches!(pieces[..], [Verdict::Removed(x), Verdict::Added(y)]
        if x == y && x.start == 11 * PAGE && x.end == 12 * PAGE));
}

/// Check that what a call moves beside its old place is told once, though both its parts see it.
#[test]
fn a_moved_mapping_is_told_once() {
    let (old, new) = (vma(20, 2), vma(16, 4));
    let mut engine = engine(&[old]);
    let mut first = section(1, 5, "mremap", (10, 30), &[new], &[new]);
    first[4] |= flags::MORE as u8;
    let second = section(1, 5, "mremap", (16, 20), &[new], &[new]);
    let args = [20 * PAGE, 2 * PAGE, 4 * PAGE];
    let out =
        feed(&mut engine, &[first, second, result(5, "mremap", args, (16 * PAGE).cast_signed())]);
    let [change] = &out[..] else { panic!("{out:?}") };
    assert!(
        matches!(change.pieces[..], [Verdict::Added(a), Verdict::Removed(r)]
            if (a.start, r.start) == (16 * PAGE, 20 * PAGE)),
        "{change:?}"
    );
}

/// Check that what a reading finds is told also where the next doubt comes before its end.
#[test]
fn a_reading_in_parts_is_told_in_parts() {
    let (a, b, c) = (vma(10, 2), vma(20, 1), vma(30, 1));
    let mut engine = engine(&[a]);
    engine.doubt(SPACE, Reason::Lost);
    let [mut early, mut late] = [read_at(0, &[b]), read_at(2, &[c])];
    early.append(&mut late);
    engine.read(1, early);
    engine.doubt(SPACE, Reason::Lost);
    let out = feed(&mut engine, &[section(1, 5, "munmap", (40, 50), &[], &[b])]);
    let [Change { op: Op::Reread(Reason::Lost), pieces, .. }] = &out[..] else { panic!("{out:?}") };
    assert!(matches!(pieces[..], [Verdict::Removed(x), Verdict::Added(y)]
        if (x.start, y.start) == (a.start, b.start)));
    assert_eq!(table(&engine), [(20, 21)]);
}

/// Check that an address space whose first records were lost begins with what is read of it, though
/// nothing changes it any more.
#[test]
fn a_lost_beginning_is_made_up_for() {
    let (a, b) = (vma(10, 2), vma(20, 1));
    let mut engine = Engine::default();
    engine.read(1, read_at(5, &[a, b]));
    engine.caught_up(SPACE, 5, 0, &mut Vec::new());
    assert!(is_sure(&engine));
    assert_eq!(table(&engine), [(10, 12), (20, 21)]);
}

/// Check that a stack that grew is noticed though its section downgraded its lock and gives no extent:
/// `expand_stack` counts its pages before that.
#[test]
fn growth_beside_a_downgrade_is_noticed() {
    let (a, grown) = (vma(10, 2), vma(9, 3));
    let mut engine = engine(&[a]);
    let unknown = flags::EXTENT_UNKNOWN | flags::DOWNGRADE;
    feed(&mut engine, &[flagged(unknown, section(1, 5, "madvise", (1, 0), &[], &[grown]))]);
    assert!(!is_sure(&engine));
}

/// Check that `total_vm` is not believed beside a downgrade of known extent: what unmaps subtracts
/// its pages later.
#[test]
fn what_unmaps_is_counted_late() {
    let (a, b) = (vma(10, 2), vma(20, 1));
    let mut engine = engine(&[a, b]);
    let mut late = flagged(flags::DOWNGRADE, section(1, 5, "munmap", (12, 30), &[], &[a]));
    let total = HEADER_LEN + 3 * 8;
    late[total..total + 8].copy_from_slice(&3u64.to_ne_bytes());
    feed(&mut engine, &[late]);
    assert!(is_sure(&engine));
    feed(&mut engine, &[section(2, 5, "mmap", (12, 30), &[b], &[a, b])]);
    assert!(is_sure(&engine));
}

/// Check that `total_vm` as the iterator read it, maybe beside such a call, is not held against the
/// next section.
#[test]
fn a_count_that_was_read_is_provisional() {
    let (a, b) = (vma(10, 2), vma(20, 1));
    let mut entries = read_at(0, &[a]);
    entries[0].total_vm += 7;
    let mut engine = Engine::default();
    engine.read(1, entries);
    engine.caught_up(SPACE, 0, 0, &mut Vec::new());
    feed(&mut engine, &[section(1, 5, "mmap", (12, 30), &[b], &[a, b])]);
    assert!(is_sure(&engine));
    // From here on it is known, and counts.
    feed(&mut engine, &[section(2, 5, "mmap", (12, 30), &[b], &[a, vma(20, 2)])]);
    assert!(!is_sure(&engine));
}

/// Check that a watched call whose extent is not known is followed by a reading even where counters
/// stay as they were: it may have merged two mappings here and cut one there.
#[test]
fn an_unknown_extent_is_read_again() {
    let (a, b) = (vma(10, 2), vma(20, 2));
    let mut engine = engine(&[a, b]);
    let call = section(1, 5, "process_madvise", (1, 0), &[], &[a, b]);
    feed(&mut engine, &[flagged(flags::EXTENT_UNKNOWN, call)]);
    assert!(!is_sure(&engine));
}

/// Check that such a call is not forgotten where what was read before it is still to be merged in.
#[test]
fn an_unknown_extent_beside_a_reading_is_read_again() {
    let (a, b) = (vma(10, 2), vma(20, 2));
    let mut engine = engine(&[a, b]);
    engine.doubt(SPACE, Reason::Drift);
    engine.read(1, read_at(1, &[a, b]));
    let call = section(2, 5, "process_madvise", (1, 0), &[], &[a, b]);
    feed(
        &mut engine,
        &[section(1, 5, "mmap", (12, 30), &[b], &[a, b]), flagged(flags::EXTENT_UNKNOWN, call)],
    );
    engine.caught_up(SPACE, 2, 0, &mut Vec::new());
    assert!(!is_sure(&engine));
    engine.read(1, read_at(2, &[a, b]));
    engine.caught_up(SPACE, 2, 0, &mut Vec::new());
    assert!(is_sure(&engine));
}

/// What the end of a write section tells of the whole address space, in two parts.
fn told_whole(version: u64, vmas: [&[Vma]; 2]) -> [Vec<u8>; 2] {
    let all = vmas.concat();
    let end = u64::MAX / PAGE;
    [
        flagged(flags::ASKED | flags::MORE, section(version, 5, "munmap", (0, 15), vmas[0], &all)),
        flagged(flags::ASKED, section(version, 5, "munmap", (15, end), vmas[1], &all)),
    ]
}

/// Check that what was asked for heals when the last part of it is there, whatever came before.
#[test]
fn what_was_asked_for_heals_at_once() {
    let (a, b) = (vma(10, 2), vma(20, 1));
    let mut engine = engine(&[a]);
    feed(&mut engine, &[section(3, 5, "munmap", (30, 40), &[], &[a])]);
    // A reading that began before is of no use any more.
    engine.read(1, read_at(90, &[a]));
    assert!(!is_sure(&engine));
    let [first, last] = told_whole(3, [&[vma(11, 1)], &[b]]);
    feed(&mut engine, &[first]);
    assert!(!is_sure(&engine));
    let out = feed(&mut engine, &[last, result(5, "munmap", [0, 0, 0], 0)]);
    assert!(is_sure(&engine));
    assert_eq!(table(&engine), [(11, 12), (20, 21)]);
    assert_eq!(engine.totals().rereads.get(&Reason::Lost), Some(&1));
    assert!(matches!(out.last().unwrap().op, Op::Reread(Reason::Lost)), "{out:?}");
    feed(&mut engine, &[section(4, 5, "munmap", (20, 21), &[], &[vma(11, 1)])]);
    assert!(is_sure(&engine));
}

/// Check that a whole of which a part was lost is none.
#[test]
fn a_part_that_was_lost_heals_nothing() {
    let (a, b) = (vma(10, 2), vma(20, 1));
    let mut engine = engine(&[a]);
    feed(&mut engine, &[section(3, 5, "munmap", (30, 40), &[], &[a])]);
    let [first, last] = told_whole(3, [&[a], &[b]]);
    feed(&mut engine, std::slice::from_ref(&last));
    assert!(!is_sure(&engine));
    feed(&mut engine, &[first, last]);
    assert!(is_sure(&engine));
    // Nor are parts of two wholes one.
    let [first, _] = told_whole(7, [&[a], &[b]]);
    let [_, last] = told_whole(9, [&[a], &[b]]);
    feed(&mut engine, &[first, last]);
    assert!(!is_sure(&engine));
}

/// Check that who writes is asked, who does not is read, and neither too often.
#[test]
fn who_writes_is_asked_and_who_is_quiet_is_read() {
    const MS: u64 = 1_000_000;
    let a = vma(10, 2);
    let read = Remedy::Read { space: SPACE, owner: 1 };
    let mut engine = engine(&[a]);
    let mut healing = Healing::default();
    assert_eq!(healing.remedies(&engine, 0, true, |_| Some(1)), []);
    feed(&mut engine, &[section(3, 5, "munmap", (30, 40), &[], &[a])]);
    assert_eq!(healing.remedies(&engine, 0, true, |_| Some(3)), [Remedy::Ask(0)]);
    for ms in 1..200 {
        assert_eq!(healing.remedies(&engine, ms * MS, true, |_| Some(3 + ms)), []);
    }
    for ms in 200..249 {
        assert_eq!(healing.remedies(&engine, ms * MS, true, |_| Some(202)), []);
    }
    assert_eq!(healing.remedies(&engine, 249 * MS, true, |_| Some(202)), [read]);
    healing.spent(250 * MS, MS);
    assert_eq!(healing.remedies(&engine, 253 * MS, true, |_| Some(202))[1..], []);
    // Nothing came of it.
    assert_eq!(healing.remedies(&engine, 254 * MS, true, |_| Some(202)), [read]);
    // Who writes again, and has had no room to tell all, is asked once more, and never read.
    let again = healing.remedies(&engine, 255 * MS, true, |_| Some(203));
    assert_eq!(again, [Remedy::Ask(0)]);
    engine.read(1, read_at(3, &[a]));
    assert_eq!(healing.remedies(&engine, 256 * MS, true, |_| Some(203)), [Remedy::Ask(0)]);
    // Where nobody can be asked, everybody is read.
    let mut healing = Healing::default();
    feed(&mut engine, &[section(9, 5, "munmap", (30, 40), &[], &[a])]);
    assert_eq!(healing.remedies(&engine, 0, false, |_| Some(9)), [read]);
}
