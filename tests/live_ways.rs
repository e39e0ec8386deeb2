//! Every way in which the programs can read mappings in the kernel, under the same program: the same
//! stream, and the same tables.

mod common;
mod live;

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use pmap_user::kernel::{
    Options, Reader, Results, Tracer, Versions, choose_results, reader_facts, readers, result_facts,
};
use pmap_user::live::{Change, Engine, Op, Reason, Space};
use pmap_user::model::{Device, Mapping};
use pmap_user::proc::kernel_release;
use pmap_user::table::{Entry, Verdict};

use common::{compile, require_root, scratch};
use live::{Outcome, Target};

/// What one thread does in the same way each time.
const VERBS: &[&str] = &[
    "mmap",
    "low",
    "munmap",
    "brk",
    "mprotect",
    "pkey",
    "mremap",
    "dontunmap",
    "mremap-many",
    "remap_file_pages",
    "madvise",
    "process_madvise",
    "mlock",
    "sysv",
    "posix",
    "names",
    "prctl",
    "userfaultfd",
    "io_setup",
    "mseal",
    "growsdown",
    "stack",
    "old-calls",
    "exec",
    "mmap",
];

/// A mapping without what differs from run to run: files are numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    range: Range<u64>,
    perms: u8,
    offset: u64,
    file: usize,
    name: String,
}

/// Files in the order in which they were seen: their inodes are others in each run.
#[derive(Default)]
struct Numbers(HashMap<(Device, u64), usize>);

impl Numbers {
    fn row(&mut self, mapping: &Mapping<'_>) -> Row {
        let Mapping { start, end, perms, offset, device, inode, name } = *mapping;
        let next = self.0.len() + 1;
        // The first System V segment has the inode 0.
        let is_file = (device, inode) != (Device { major: 0, minor: 0 }, 0);
        let file = if is_file { *self.0.entry((device, inode)).or_insert(next) } else { 0 };
        let name = name.escape_ascii().to_string();
        Row { range: start..end, perms: perms.bits(), offset, file, name }
    }
}

/// A change, without what differs from run to run.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    version: u64,
    name: &'static str,
    outcome: Option<([u64; 6], i64)>,
    /// `-` or `+`, in their order.
    pieces: Vec<(char, Row)>,
}

impl Told {
    fn new(change: &Change, engine: &Engine, numbers: &mut Numbers) -> Self {
        let mut outcome = match change.op {
            Op::Call(call) => call.outcome.map(|(mut args, ret)| {
                // Behind them stands what happened to be in the registers.
                args[call.syscall.arguments..].fill(0);
                (args, ret)
            }),
            _ => None,
        };
        if let (Some((args, _)), "shmat") = (&mut outcome, change.name()) {
            // The number of a segment; through `ipc(2)` the second one.
            args[..2].fill(0);
        }
        let space = engine.space(change.space).expect("it is there");
        let mut row = |entry: &Entry| numbers.row(&space.mapping(entry, &engine.files));
        let mut pieces = Vec::new();
        for piece in &change.pieces {
            match piece {
                Verdict::Added(after) => pieces.push(('+', row(after))),
                Verdict::Removed(before) => pieces.push(('-', row(before))),
                Verdict::Changed(before, after) => {
                    pieces.extend([('-', row(before)), ('+', row(after))]);
                }
                Verdict::Kept(_) => {}
            }
        }
        Self { version: change.version, name: change.name(), outcome, pieces }
    }
}

impl Told {
    /// Without the numbers of files: the file system may give a new file an old one's inode, or not.
    fn unnumbered(&self) -> Self {
        let unnumbered = |(sign, row): &(char, Row)| {
            (*sign, Row { file: usize::from(row.file != 0), ..row.clone() })
        };
        Self { pieces: self.pieces.iter().map(unnumbered).collect(), ..*self }
    }
}

/// What stands in each page.
#[derive(Default)]
struct Pages(BTreeMap<u64, (u8, u64, usize)>);

impl Pages {
    fn put(&mut self, row: &Row) {
        for page in row.range.clone().step_by(4096) {
            let offset = if row.file == 0 { 0 } else { row.offset + (page - row.range.start) };
            self.0.insert(page, (row.perms, offset, row.file));
        }
    }

    /// Takes in a change, as somebody who knows nothing but the stream.
    fn take(&mut self, told: &Told) {
        if told.name == "exec" {
            self.0.clear();
        }
        for (sign, row) in &told.pieces {
            if *sign == '+' {
                self.put(row);
                continue;
            }
            for page in row.range.clone().step_by(4096) {
                assert!(self.0.remove(&page).is_some(), "{page:x} was not there: {told:x?}");
            }
        }
    }
}

/// What was told up to a quiet point, and what was mapped then.
struct Step {
    when: String,
    told: Vec<Told>,
    table: Vec<Row>,
}

impl Step {
    /// Whether something was found by reading again: when that is depends on the hour.
    fn reread(&self) -> bool {
        self.told.iter().any(|told| told.name == "reread")
    }
}

/// A process that is followed in one way.
struct Way {
    tracer: Tracer,
    versions: Versions,
    engine: Engine,
    pid: u32,
    begin: Instant,
    numbers: Numbers,
    pages: Pages,
}

impl Way {
    fn new(mut tracer: Tracer, pid: u32) -> Self {
        let entries = tracer.follow(pid, false).expect("it can be followed");
        let mut engine = Engine::default();
        engine.read(pid, entries).expect("it has mappings");
        let mut way = Self {
            versions: tracer.versions(),
            tracer,
            engine,
            pid,
            begin: Instant::now(),
            numbers: Numbers::default(),
            pages: Pages::default(),
        };
        way.settle();
        for row in way.rows() {
            way.pages.put(&row);
        }
        way
    }

    /// The newest address space: an exec begins another.
    fn space(&self) -> &Space {
        self.engine.spaces().last().expect("it has not ended")
    }

    /// The table, its files numbered as those of the stream.
    fn rows(&mut self) -> Vec<Row> {
        let Self { engine, numbers, .. } = self;
        let space = engine.spaces().last().expect("it has not ended");
        space.table.iter().map(|entry| numbers.row(&space.mapping(&entry, &engine.files))).collect()
    }

    /// Takes in all that the process has done, and reads again what is in doubt.
    fn settle(&mut self) -> Vec<Told> {
        let deadline = Instant::now() + Duration::from_secs(20);
        let (mut changes, mut told) = (Vec::new(), Vec::new());
        loop {
            let (id, key) = (self.space().id, self.space().key);
            let version = self.versions.get(key, id);
            let Self { tracer, engine, numbers, begin, .. } = self;
            tracer.drain(|record| {
                engine.record(&record, &mut changes);
                true
            });
            if let Some(version) = version {
                engine.caught_up(id, version, begin.elapsed().as_nanos() as u64, &mut changes);
            }
            told.extend(changes.drain(..).map(|change| Told::new(&change, engine, numbers)));
            engine.reap();
            let space = self.space();
            if space.is_sure() && self.versions.get(space.key, space.id) == Some(space.version) {
                return told;
            }
            assert!(Instant::now() < deadline, "it stays in doubt: {:?}", space.rereads);
            if space.wants_reading() {
                let entries = self.tracer.read(self.pid).expect("it can be read");
                self.engine.read(self.pid, entries);
            }
        }
    }

    /// A quiet point.
    fn step(&mut self, when: &str) -> Step {
        let told = self.settle();
        told.iter().for_each(|told| self.pages.take(told));
        let mut known = Pages::default();
        self.rows().iter().for_each(|row| known.put(row));
        assert_eq!(self.pages.0, known.0, "{when}: the stream leads to the table");
        let space = self.space();
        let mut numbers = Numbers::default();
        let table = space.table.iter().map(|entry| {
            let mut row = numbers.row(&space.mapping(&entry, &self.engine.files));
            // Files are named by who reads `/proc`, or by records, which not every way has.
            if row.file != 0 {
                row.name.clear();
            }
            row
        });
        Step { when: when.into(), told, table: table.collect() }
    }
}

/// All that was seen in one way.
struct Run {
    reader: Reader,
    steps: Vec<Step>,
    sections: u64,
}

/// Runs the fixture, at the same addresses as always.
fn run(reader: Reader, tracer: Tracer, program: &Path) -> Run {
    let folder = scratch("ways");
    let mut command = Command::new(program);
    // SAFETY: the call takes a number and allocates nothing.
    unsafe {
        command.current_dir(folder).env_clear().pre_exec(|| {
            libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong);
            Ok(())
        });
    }
    let mut target = Target::command(&mut command);
    let mut way = Way::new(tracer, target.pid());
    let mut steps = vec![way.step("at the start")];
    for verb in VERBS {
        if let Outcome::Unavailable(why) = target.perform(verb, |when| steps.push(way.step(when))) {
            eprintln!("{reader:?}: {verb} is not tried here: {why}");
            steps.push(way.step(verb));
        }
    }
    let totals = way.engine.totals();
    assert_eq!(totals.lost, 0, "{reader:?}");
    for reason in [Reason::Lost, Reason::Counters, Reason::Drift] {
        assert_eq!(totals.rereads.get(&reason), None, "{reader:?}: {totals:?}");
    }
    Run { reader, steps, sections: totals.versions }
}

/// Checks that two ways saw the same.
fn compare(one: &Run, other: &Run) {
    let ways = format!("{:?} and {:?}", one.reader, other.reader);
    assert_eq!(one.steps.len(), other.steps.len(), "quiet points of {ways}");
    let mut changes = 0;
    for (a, b) in one.steps.iter().zip(&other.steps) {
        let Step { when, .. } = a;
        assert_eq!(when, &b.when, "{ways}");
        for (a, b) in a.table.iter().zip(&b.table) {
            assert_eq!(a, b, "{when}: the tables of {ways}");
        }
        assert_eq!(a.table.len(), b.table.len(), "{when}: the tables of {ways}");
        if a.reread() || b.reread() {
            continue;
        }
        for (a, b) in a.told.iter().zip(&b.told) {
            assert_eq!(a.unnumbered(), b.unnumbered(), "{when}: the streams of {ways}");
        }
        assert_eq!(a.told.len(), b.told.len(), "{when}: the streams of {ways}");
        changes += a.told.len();
    }
    assert_eq!(one.sections, other.sections, "write sections seen by {ways}");
    let count = one.steps.len();
    if other.reader == Reader::None {
        eprintln!("{ways}: {count} tables alike, and each stream leads to them");
    } else {
        eprintln!("{ways}: {count} tables and {changes} changes alike");
        assert!(changes > 100, "only {changes} changes of {ways} could be compared");
    }
}

/// Runs a program in every way that this kernel allows, and compares each with the best.
fn check(flags: &[&str]) {
    require_root();
    let program = compile("live", flags);
    let allowed: Vec<Reader> = readers(reader_facts().expect("the kernel shows types")).collect();
    let mut runs: Vec<Run> = Vec::new();
    for reader in [Reader::Cast, Reader::Probe, Reader::None] {
        let options = Options { reader: Some(reader), ..Options::of_release(kernel_release()) };
        match Tracer::start(options) {
            Ok(tracer) => {
                assert!(allowed.contains(&reader), "{reader:?} works, yet is not in {allowed:?}");
                let run = run(reader, tracer, &program);
                if let Some(best) = runs.first() {
                    compare(best, &run);
                }
                runs.push(run);
            }
            Err(error) => {
                let text = error.to_string();
                let line = text.lines().next().unwrap_or_default();
                eprintln!("{reader:?} is refused here: {line:.200}");
                assert!(!allowed.contains(&reader), "{reader:?} should work: {text}");
            }
        }
    }
    assert_eq!(runs.iter().map(|run| run.reader).collect::<Vec<_>>(), allowed);
    let options = Options::of_release(kernel_release());
    let chosen = choose_results(result_facts().expect("the kernel shows types"));
    eprintln!("results come from {chosen:?}");
    for results in [Results::Functions, Results::SysExit] {
        match Tracer::start(Options { results: Some(results), ..options }) {
            Ok(tracer) => {
                let run = run(tracer.reader(), tracer, &program);
                eprintln!("{results:?}:");
                compare(&runs[0], &run);
            }
            Err(error) => {
                eprintln!("{results:?} is refused here: {error}");
                assert_ne!(chosen, results);
            }
        }
    }
    if !options.preemptible {
        // Second programs, where the first has always run: they add nothing.
        let tracer = Tracer::start(Options { preemptible: true, ..options });
        let tracer = tracer.unwrap_or_else(|error| panic!("twice: {error}"));
        compare(&runs[0], &run(tracer.reader(), tracer, &program));
    }
}

/// Check every way under a 64-bit program.
#[test]
fn of_a_64_bit_program() {
    check(&[]);
}

/// Check every way under a 32-bit program.
#[test]
fn of_a_32_bit_program() {
    check(&["-m32"]);
}
