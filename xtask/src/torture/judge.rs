//! The tracer and its tables, and the comparison with the kernel.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use pmap_ebpf::{Header, Section, SyscallResult, Vma, flags};
use pmap_user::kernel::{Options, Reader, Tracer, Versions};
use pmap_user::live::{Change, Engine, Healing, Reason, Remedy, Space, Totals};
use pmap_user::proc::kernel_release;
use pmap_user::record::{Body, Record};

use super::oracle::{self, Row};

/// Records of each address space that are shown with a divergence.
const REMEMBERED: usize = 40;

/// The last records of each address space.
type History = BTreeMap<u64, VecDeque<Remembered>>;

/// Records that are taken in before anything else is looked at.
const AT_ONCE: usize = 1 << 16;

/// What was seen at one version.
struct Seen {
    space: u64,
    version: u64,
    rows: Vec<Row>,
}

/// What led to a doubt.
struct Doubt {
    story: String,
    /// Whether the count of mappings was seen to be wrong.
    wrong: bool,
}

/// How often, and how it came out.
#[derive(Default)]
pub(super) struct Figures {
    /// Versions that were read untorn and compared.
    pub(super) versions: u64,
    /// Readings during which the version moved.
    pub(super) torn: u64,
    /// Readings while the table was known to be in doubt.
    pub(super) in_doubt: u64,
    /// Stopped processes that were compared.
    pub(super) quiet: u64,
    /// The slowest reading by the iterator: how long, of which process, how many mappings.
    pub(super) slowest: (Duration, u32, usize),
    /// Differences, each with its story.
    pub(super) divergences: Vec<String>,
    /// The version that was compared last, by address space.
    last: BTreeMap<u64, u64>,
    /// Rereads that should not have been, by address space.
    defects: BTreeMap<u64, u64>,
}

/// Follows, and compares.
pub(super) struct Judge {
    tracer: Tracer,
    engine: Engine,
    versions: Versions,
    changes: Vec<Change>,
    history: History,
    /// What led to the last doubt.
    doubts: BTreeMap<u64, Doubt>,
    healing: Healing,
    /// How the iterator was read last, and what it gave.
    last_reading: String,
    /// When it began.
    since: Instant,
    pub(super) figures: Figures,
}

impl Judge {
    pub(super) fn new() -> Result<Self> {
        let options = Options { ring_bytes: 256 << 20, ..Options::of_release(kernel_release()) };
        let tracer = Tracer::start(options).context("cannot follow")?;
        let versions = tracer.versions();
        Ok(Self {
            tracer,
            engine: Engine::default(),
            versions,
            changes: Vec::new(),
            history: BTreeMap::new(),
            doubts: BTreeMap::new(),
            healing: Healing::default(),
            last_reading: String::new(),
            since: Instant::now(),
            figures: Figures::default(),
        })
    }

    /// Follows a process that is there, and its children.
    pub(super) fn follow(&mut self, pid: u32) -> Result<()> {
        let entries = self.tracer.follow(pid, true).context("cannot follow a process")?;
        self.engine.read(pid, entries);
        Ok(())
    }

    /// Follows a process from its next exec on, and its children.
    pub(super) fn follow_from_exec(&mut self, pid: u32) -> Result<()> {
        self.tracer.follow_from_exec(pid, true).context("cannot follow the command")
    }

    /// What the engine counted.
    pub(super) fn totals(&self) -> Totals {
        let mut totals = self.engine.totals();
        totals.lost += self.tracer.lost();
        totals
    }

    /// The address spaces of processes that are there: number, key and owner. A process's older
    /// ones may live on in others; its own is the newest.
    pub(super) fn spaces(&self) -> Vec<(u64, u64, u32)> {
        let mut newest = BTreeMap::new();
        for space in self.engine.spaces() {
            newest.insert(space.owner, (space.id, space.key, space.owner));
        }
        newest.into_values().collect()
    }

    /// Takes in what waits, and reads again what is in doubt.
    pub(super) fn pump(&mut self) {
        self.drain(None);
        if self.tracer.has_missed() {
            let owners: Vec<u32> = self.engine.spaces().map(|space| space.owner).collect();
            for pid in owners {
                // One that is gone has nothing to count.
                let _ = self.tracer.count_again(pid);
            }
        }
        let Self { healing, engine, tracer, versions, since, figures, .. } = self;
        let now = since.elapsed().as_nanos() as u64;
        let can_be_asked = tracer.reader() != Reader::None;
        let version = |space: &Space| versions.get(space.key, space.id);
        for remedy in healing.remedies(engine, now, can_be_asked, version) {
            let (id, pid) = match remedy {
                Remedy::Ask(key) => {
                    // Who cannot be asked is read in the end.
                    let _ = tracer.ask(key);
                    continue;
                }
                Remedy::Read { space, owner } => (space, owner),
            };
            let start = Instant::now();
            let entries = tracer.read(pid);
            let reading = (start.elapsed(), pid, entries.as_ref().map_or(0, Vec::len));
            figures.slowest = figures.slowest.max(reading);
            self.last_reading = format!(
                "at {:.3} s in {:?}: {:?}",
                since.elapsed().as_secs_f64(),
                reading.0,
                entries.as_ref().map(|entries| {
                    let first = entries.first().map(|entry| (entry.space, entry.version));
                    (entries.len(), first, entries.last().map(|entry| entry.version))
                })
            );
            if let Ok(entries) = entries
                && entries.first().is_some_and(|entry| entry.space == id)
            {
                engine.read(pid, entries);
            }
            tracer.forget(pid);
            healing.spent(since.elapsed().as_nanos() as u64, reading.0.as_nanos() as u64);
        }
        self.drain(None);
    }

    /// Reads an address space while its process runs on; compares where the version stood still.
    pub(super) fn sample(&mut self, (space, _, pid): (u64, u64, u32)) {
        let Some(tid) = oracle::living_thread(pid) else { return };
        let before = self.locked_version(space, pid);
        let rows = oracle::read(pid, tid);
        let after = self.locked_version(space, pid);
        self.tracer.forget(pid);
        if let (Some(rows), Some(version)) = (rows, before)
            && !rows.is_empty()
        {
            if before == after {
                self.drain(Some(Seen { space, version, rows }));
            } else {
                self.figures.torn += 1;
            }
        }
    }

    /// The version of an address space while no write section is open: new kernels read smaps without
    /// the lock, so that a section may have begun, and changed something, and not be counted yet.
    fn locked_version(&mut self, space: u64, pid: u32) -> Option<u64> {
        let first = self.tracer.read(pid).ok()?.first().copied()?;
        (first.space == space).then_some(first.version)
    }

    /// Compares a stopped process. What is in doubt may be read again first.
    pub(super) fn compare_stopped(&mut self, (space, key, pid): (u64, u64, u32)) {
        // It may have written more than we have read.
        while !self.drain(None) {}
        let deadline = Instant::now() + Duration::from_secs(2);
        loop {
            self.pump();
            let sure = self.engine.space(space).is_some_and(Space::is_sure);
            if sure || Instant::now() > deadline {
                break;
            }
        }
        let Some(tid) = oracle::living_thread(pid) else { return };
        let Some(version) = self.versions.get(key, space) else { return };
        let Some(rows) = oracle::read(pid, tid) else { return };
        // An end that cannot be stopped, by SIGKILL or in the middle of it.
        if rows.is_empty() || self.versions.get(key, space) != Some(version) {
            return;
        }
        self.figures.quiet += 1;
        let Self { engine, figures, history, last_reading, since, .. } = self;
        match engine.space(space) {
            Some(known) if known.is_sure() => {
                compare(engine, figures, history, &Seen { space, version, rows }, "quiet");
            }
            Some(known) => figures.divergences.push(format!(
                "process {pid}: in doubt for 2 s, at {:.3} s: {}; the kernel's version is \
                 {version}, and was read {last_reading}",
                since.elapsed().as_secs_f64(),
                known.doubts(),
            )),
            None => {}
        }
    }

    /// Takes in records, not all where there are many; returns whether none is left.
    fn drain(&mut self, mut seen: Option<Seen>) -> bool {
        let now: Vec<(u64, Option<u64>)> = self
            .engine
            .spaces()
            .map(|space| (space.id, self.versions.get(space.key, space.id)))
            .collect();
        let Self { tracer, engine, changes, history, doubts, figures, since, .. } = self;
        let mut count = 0;
        tracer.drain(|record| {
            // The first record that is newer: the table stands where it was read.
            if let Body::Section(section, _) = &record.body
                && record.head.flags & (flags::INITIAL | flags::ASKED) == 0
                && seen.as_ref().is_some_and(|seen| {
                    seen.space == record.head.space && section.version > seen.version
                })
                && let Some(seen) = seen.take()
            {
                compare(engine, figures, history, &seen, "running");
            }
            let id = record.head.space;
            let is_sure = |engine: &Engine| engine.space(id).is_some_and(Space::is_sure);
            let before = is_sure(engine);
            engine.record(&record, changes);
            remember(history, &record, engine.space(id));
            if let (Body::Section(section, _), Some(space)) = (&record.body, engine.space(id)) {
                let len = space.table.len();
                let whole = record.head.flags & (flags::MORE | flags::EXTENT_UNKNOWN) == 0;
                let wrong = whole && len != section.map_count as usize;
                // Told once a doubt, and once more where the count is wrong: telling takes time.
                let told = doubts.get(&id).is_some_and(|doubt| doubt.wrong);
                if !is_sure(engine) && (before || wrong && !told) {
                    doubts.insert(id, Doubt { story: story(history, id), wrong });
                }
            }
            changes.clear();
            count += 1;
            count < AT_ONCE
        });
        // Writers can be faster than we are: then the end of the ring is not in sight.
        if count < AT_ONCE {
            for (id, version) in now {
                if let Some(version) = version {
                    engine.caught_up(id, version, since.elapsed().as_nanos() as u64, changes);
                }
            }
            changes.clear();
            if let Some(seen) = seen {
                compare(engine, figures, history, &seen, "running");
            }
        }
        engine.files.take_fresh();
        let defects = |reason: &Reason| matches!(reason, Reason::Counters | Reason::Drift);
        for space in engine.spaces() {
            let count = space.rereads.iter().filter(|(r, _)| defects(r)).map(|(_, n)| n).sum();
            if count > figures.defects.get(&space.id).copied().unwrap_or(0) {
                figures.defects.insert(space.id, count);
                let story = doubts.get(&space.id).map_or("(at its start)", |doubt| &doubt.story);
                let next = self::story(history, space.id);
                figures.divergences.push(format!(
                    "process {}: read again, {:?}, after\n  {story}\nand then\n  {next}",
                    space.owner, space.rereads
                ));
            }
        }
        engine.reap();
        history.retain(|id, _| engine.space(*id).is_some());
        doubts.retain(|id, _| engine.space(*id).is_some());
        count < AT_ONCE
    }
}

fn story(history: &History, id: u64) -> String {
    let records = history.get(&id).into_iter().flatten();
    records.map(ToString::to_string).collect::<Vec<_>>().join("\n  ")
}

fn compare(engine: &Engine, figures: &mut Figures, history: &History, seen: &Seen, when: &str) {
    let Some(space) = engine.space(seen.space) else { return };
    if !space.is_sure() || space.version != seen.version {
        figures.in_doubt += 1;
        return;
    }
    // Nothing new since the last time, most often.
    if figures.last.insert(seen.space, seen.version) != Some(seen.version) {
        figures.versions += 1;
    }
    let lines = oracle::differences(&seen.rows, space, &engine.files);
    if !lines.is_empty() {
        figures.divergences.push(format!(
            "{when}, process {}, version {}:\n  {}\nafter\n  {}",
            space.owner,
            seen.version,
            lines.join("\n  "),
            story(history, seen.space),
        ));
    }
}

/// A record as it came, told only when something is wrong: there may be a hundred thousand a second.
enum Remembered {
    /// A section, its mappings, and the table after it: mappings, and pages that are amiss.
    Section(Header, Section, Vec<Vma>, usize, i64),
    /// A call that returned.
    Result(Header, SyscallResult),
}

impl fmt::Display for Remembered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Section(head, s, vmas, len, off) => {
                write!(
                    f,
                    "tid {} version {} call {} flags {:#x}: {:x}-{:x} has",
                    head.tid, s.version, s.nr, head.flags, s.lo, s.hi
                )?;
                for vma in vmas {
                    write!(f, " {:x}-{:x}", vma.start, vma.end)?;
                }
                let (count, pages) = (s.map_count, s.total_vm);
                write!(f, ", {count} mappings, {pages} pages; table {len}, off by {off} pages")
            }
            Self::Result(head, r) => {
                write!(f, "tid {} call {} {:x?} returned {:#x}", head.tid, r.nr, r.args, r.ret)
            }
        }
    }
}

/// Remembers a record that was taken in.
fn remember(history: &mut History, record: &Record<'_>, space: Option<&Space>) {
    let head = record.head;
    let remembered = match &record.body {
        Body::Section(s, vmas) => {
            let (len, pages) = space.map_or((0, 0), |s| (s.table.len(), s.table.bytes() >> 12));
            let off = s.total_vm.wrapping_sub(pages).cast_signed();
            Remembered::Section(head, *s, vmas.collect(), len, off)
        }
        Body::Result(r) => Remembered::Result(head, *r),
        _ => return,
    };
    let records = history.entry(head.space).or_default();
    if records.len() == REMEMBERED {
        records.pop_front();
    }
    records.push_back(remembered);
}
