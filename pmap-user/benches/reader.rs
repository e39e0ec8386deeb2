//! How fast userspace is without a kernel: `cargo bench -p pmap-user`.
//!
//! Records of an mmap+munmap loop go through decoder, engine, table and both views; then a table
//! holds a million mappings and prints them.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::{
    fs,
    hint::black_box,
    io,
    time::{Duration, Instant},
};

use pmap_ebpf::{ABI, Header, IterEntry, Section, SyscallResult, Vma, kinds};
use pmap_user::{
    live::{Engine, Space},
    model::{Details, Process},
    record::decode,
    table::{AddressSpace, Entry, What},
    view::{Clock, Lines, Options, Output, Piece, Renderer, push_change},
};

const PAGE: u64 = 4096;
const RECORDS: u64 = 2_000_000;
const MAPPINGS: u64 = 1_000_000;

/// The bytes of a structure of `pmap-ebpf`.
fn bytes_of<T: Copy>(value: &T) -> &[u8] {
    // SAFETY: these structures are `repr(C)` without padding, as their crate asserts.
    unsafe { std::slice::from_raw_parts((&raw const *value).cast(), size_of::<T>()) }
}

fn head(kind: u16) -> Header {
    Header { kind, abi: ABI, time: 1, space: 1, pid: 1, tid: 1, ..Header::default() }
}

fn vma(start: u64, pages: u64) -> Vma {
    Vma { start, end: start + pages * PAGE, flags: 3, ..Vma::default() }
}

/// One turn of the loop: four records, as the programs send them.
fn turn(version: u64, below: Vma, above: Vma) -> [Vec<u8>; 4] {
    let new = vma(below.end + PAGE, 16);
    let section = |version, nr, class, all: &[Vma]| {
        let section = Section {
            version,
            lo: below.start,
            hi: above.end,
            total_vm: all.iter().map(|v| (v.end - v.start) / PAGE).sum(),
            map_count: all.len() as u32,
            nr,
            class,
            count: all.len() as u32,
            ..Section::default()
        };
        let mut bytes = [bytes_of(&head(kinds::SECTION)), bytes_of(&section)].concat();
        all.iter().for_each(|vma| bytes.extend_from_slice(bytes_of(vma)));
        bytes
    };
    let result = |nr, class, ret| {
        let args = [0, 16 * PAGE, 3, 34, u64::MAX, 0];
        let result = SyscallResult { ret, args, nr, class };
        [bytes_of(&head(kinds::RESULT)), bytes_of(&result)].concat()
    };
    [
        section(version, 9, 1, &[below, new, above]),
        result(9, 1, new.start.cast_signed()),
        section(version + 1, 11, 2, &[below, above]),
        result(11, 2, 0),
    ]
}

/// Runs records through everything, and returns the time and the bytes printed.
fn reader(json: bool) -> (Duration, usize) {
    let (below, above) = (vma(16 * PAGE, 16), vma(256 * PAGE, 16));
    let mut engine = Engine::default();
    let entry =
        |vma| IterEntry { space: 1, map_count: 2, total_vm: 32, vma, ..IterEntry::default() };
    engine.read(1, vec![entry(below), entry(above)]);
    engine.caught_up(1, 0, 0, &mut Vec::new());
    let mut lines = Lines::new(&Options::default(), Clock::default(), false);
    let (mut out, mut changes) = (Vec::new(), Vec::new());
    let mut printed = 0;
    let mut spent = Duration::ZERO;
    for batch in 0..RECORDS / 4000 {
        let records: Vec<Vec<u8>> =
            (0..1000).flat_map(|i| turn(1 + 2 * (batch * 1000 + i), below, above)).collect();
        let begin = Instant::now();
        for bytes in &records {
            if let Some(record) = decode(bytes) {
                engine.record(&record, &mut changes);
            }
        }
        for change in changes.drain(..) {
            let Some(space) = engine.space(1) else { continue };
            let pieces: Vec<Piece<'_>> =
                change.pieces.iter().filter_map(|piece| named(piece, space, &engine)).collect();
            if json {
                push_change(&mut out, &change, &pieces, Clock::default());
            } else {
                lines.push(&mut out, &change, &pieces, &Process::default());
            }
        }
        spent += begin.elapsed();
        printed += black_box(&out).len();
        out.clear();
    }
    assert_eq!(engine.totals().changes.values().sum::<u64>(), RECORDS / 2);
    assert!(engine.totals().rereads.is_empty() && engine.totals().lost == 0);
    (spent, printed)
}

fn named<'a>(
    piece: &pmap_user::table::Piece,
    space: &Space,
    engine: &'a Engine,
) -> Option<Piece<'a>> {
    use pmap_user::table::Verdict;
    let name = |entry| space.mapping(entry, &engine.files);
    Some(match piece {
        Verdict::Added(e) => Piece::Added(name(e)),
        Verdict::Removed(e) => Piece::Removed(name(e)),
        Verdict::Changed(a, b) => Piece::Changed(name(a), name(b)),
        Verdict::Kept(_) => return None,
    })
}

/// Resident memory of this process, in bytes.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0) * PAGE
}

fn main() {
    for (json, name) in [(false, "lines"), (true, "json")] {
        let (spent, printed) = reader(json);
        println!(
            "reader, {name:<5}   {:>6.2} million records a second, {} MB printed",
            RECORDS as f64 / spent.as_secs_f64() / 1e6,
            printed / 1_000_000
        );
    }
    let before = resident();
    let mut table = AddressSpace::default();
    let begin = Instant::now();
    for i in 0..MAPPINGS {
        let perms = pmap_user::model::Perms::from_bits(if i % 2 == 0 { 3 } else { 1 });
        let (start, end) = (i * PAGE, (i + 1) * PAGE);
        let entry = Entry { start, end, offset: 0, what: What::default(), perms };
        table.replace(start, end, &[entry], &mut Vec::new());
    }
    println!(
        "table           {:>6.0} bytes a mapping, {} mappings in {:.2} s",
        (resident() - before) as f64 / table.len() as f64,
        table.len(),
        begin.elapsed().as_secs_f64()
    );
    let begin = Instant::now();
    let mut out = Output::new(io::sink());
    let mut renderer = Renderer::text(&Options::default());
    renderer.begin(&mut out);
    for entry in table.iter() {
        let mapping = pmap_user::model::Mapping {
            start: entry.start,
            end: entry.end,
            perms: entry.perms,
            offset: entry.offset,
            device: pmap_user::model::Device::default(),
            inode: 0,
            name: b"",
        };
        renderer.row(&mut out, &mapping, &Details::NONE);
    }
    renderer.end(&mut out);
    println!("listing         {:>6.3} s for all of them", begin.elapsed().as_secs_f64());
}
