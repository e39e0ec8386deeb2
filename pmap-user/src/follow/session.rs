//! Everything that is known while processes are followed, and how a record becomes a line.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Write as _},
    time::{Duration, Instant},
};

use super::{listing, names::Resolver, reconcile::Schedule};
use crate::{
    cli::Follow,
    kernel::{Reader, Tracer, Versions},
    live::{Change, Engine, Healing, Op, Remedy, Space},
    model::Process,
    proc::{process::List, process::Target, query::Names},
    table::{Piece as Verdict, Verdict as Kind},
    view::{self, Clock, Lines, Output, Piece, Renderer, Standing},
};

/// Records that are taken in before their changes are told.
const BATCH: usize = 1024;
/// Records that are taken in before anything else is looked at: writers can be faster than we are.
const AT_ONCE: usize = 16 * BATCH;

/// Longer than an exec takes from its new address space to its tracepoint.
const LONG_EXEC: Duration = Duration::from_millis(500);

/// Longer than it takes to read a full ring.
const CATCH_UP: Duration = Duration::from_secs(5);

/// The state of `--follow`.
pub(super) struct Session<'a> {
    pub(super) tracer: Tracer,
    pub(super) engine: Engine,
    pub(super) versions: Versions,
    pub(super) schedules: BTreeMap<u64, Schedule>,
    /// Processes that have not ended.
    pub(super) living: BTreeSet<u32>,
    resolver: Resolver,
    processes: BTreeMap<u32, Process>,
    sysv_minor: Option<u32>,
    follow: &'a Follow,
    clock: Clock,
    lines: Lines,
    pub(super) out: Output<File>,
    changes: Vec<Change>,
    healing: Healing,
    /// Processes that had no table when programs were found not to have run, and since when.
    suspects: BTreeMap<u32, Instant>,
    drift: u64,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        tracer: Tracer,
        follow: &'a Follow,
        out: Output<File>,
        colour: bool,
        loose_heap: bool,
    ) -> Self {
        let clock = clock();
        let versions = tracer.versions();
        let mut engine = Engine::default();
        engine.failed = follow.failed;
        engine.loose_heap = loose_heap;
        Self {
            tracer,
            engine,
            versions,
            schedules: BTreeMap::new(),
            living: BTreeSet::new(),
            resolver: Resolver::default(),
            processes: BTreeMap::new(),
            sysv_minor: crate::proc::sysv_minor(),
            follow,
            clock,
            lines: Lines::new(&follow.snapshot.view, clock, colour),
            out,
            changes: Vec::new(),
            healing: Healing::default(),
            suspects: BTreeMap::new(),
            drift: 0,
        }
    }

    /// Begins to follow a process that is there. `false` where it has no mappings any more.
    pub(super) fn begin(&mut self, target: &Target) -> io::Result<bool> {
        let pid = target.head().pid;
        let entries = self.tracer.follow(pid, self.follow.children)?;
        let Some(id) = self.engine.read(pid, entries) else { return Ok(false) };
        self.living.insert(pid);
        self.processes.insert(pid, target.head().clone());
        self.pump();
        let names = target.open_list(List::Maps).ok().map(Names::new);
        self.resolver.begin(&mut self.engine, id, names);
        Ok(true)
    }

    /// Takes in the records that wait, and tells what they changed. Returns how many there were; some
    /// are left where that is [`AT_ONCE`].
    pub(super) fn pump(&mut self) -> usize {
        // Versions first: every record of a version that the kernel counts already is in the ring.
        let versions = self.kernel_versions();
        let mut total = 0;
        loop {
            let (engine, changes) = (&mut self.engine, &mut self.changes);
            let mut count = 0;
            self.tracer.drain(|record| {
                engine.record(&record, changes);
                count += 1;
                count < BATCH
            });
            total += count;
            self.tell();
            if count < BATCH || total >= AT_ONCE || self.out.failed() {
                break;
            }
        }
        let now = monotonic();
        for (id, version) in versions {
            if let Some(version) = version
                && total < AT_ONCE
            {
                self.engine.caught_up(id, version, now, &mut self.changes);
            }
        }
        self.engine.tick(now, &mut self.changes);
        self.tell();
        total
    }

    /// The versions that the kernel counts, by address space; `None` where it has ended.
    fn kernel_versions(&self) -> Vec<(u64, Option<u64>)> {
        let spaces = self.engine.spaces();
        spaces.map(|space| (space.id, self.versions.get(space.key, space.id))).collect()
    }

    /// Takes in the records of everything that has happened by now, however fast more come; or most
    /// of it, after a while.
    pub(super) fn catch_up(&mut self) {
        let versions = self.kernel_versions();
        let begin = Instant::now();
        let is_behind = |engine: &Engine, &(id, version): &(u64, Option<u64>)| {
            engine.space(id).is_some_and(|space| version.is_some_and(|v| space.version < v))
        };
        self.pump();
        while versions.iter().any(|version| is_behind(&self.engine, version))
            && begin.elapsed() < CATCH_UP
            && !self.out.failed()
        {
            self.pump();
        }
    }

    /// Takes in all that those who have ended have left.
    pub(super) fn pump_out(&mut self) {
        while self.pump() >= AT_ONCE && self.living.is_empty() && !self.out.failed() {}
    }

    /// Does what makes sure what is in doubt. Returns whether anything was read.
    pub(super) fn heal(&mut self) -> bool {
        let Self { healing, engine, versions, tracer, .. } = self;
        let can_be_asked = tracer.reader() != Reader::None;
        let begin = monotonic();
        let version = |space: &Space| versions.get(space.key, space.id);
        let mut any = false;
        for remedy in healing.remedies(engine, begin, can_be_asked, version) {
            match remedy {
                Remedy::Ask(key) => {
                    // Who cannot be asked is read in the end.
                    let _ = tracer.ask(key);
                }
                Remedy::Read { space, owner } => {
                    if let Ok(entries) = tracer.read(owner)
                        && entries.first().is_some_and(|entry| entry.space == space)
                    {
                        tracing::debug!(space, mappings = entries.len(), "read again");
                        engine.read(owner, entries);
                        any = true;
                    }
                    let now = monotonic();
                    healing.spent(now, now - begin);
                }
            }
        }
        any
    }

    /// Whether anything is to be made sure.
    pub(super) fn is_in_doubt(&self) -> bool {
        self.engine.spaces().any(Space::wants_reading)
    }

    /// Tells the changes that are ready.
    fn tell(&mut self) {
        self.greet();
        self.resolver.resolve_fresh(&mut self.engine);
        let changes = std::mem::take(&mut self.changes);
        for change in &changes {
            match change.op {
                Op::Exit { .. } => {
                    self.living.remove(&change.pid);
                }
                Op::Fork { child } => {
                    self.living.insert(child);
                    if let Some(parent) = self.processes.get(&change.pid) {
                        let process = Process { pid: child, ..parent.clone() };
                        self.processes.insert(child, process);
                    }
                }
                _ => {}
            }
            self.print(change);
        }
        self.changes = changes;
        self.changes.clear();
        self.engine.reap();
        let engine = &self.engine;
        self.resolver.retain(|id| engine.space(id).is_some());
        self.schedules.retain(|id, schedule| {
            let keep = engine.space(*id).is_some();
            if !keep {
                self.drift += schedule.drift;
            }
            keep
        });
    }

    /// Opens the lists of address spaces that have just begun.
    fn greet(&mut self) {
        let new: Vec<(u64, u32, u64)> = self
            .engine
            .spaces()
            .filter(|space| !self.resolver.knows(space.id) && space.key != 0)
            .map(|space| (space.id, space.owner, space.start_stack))
            .collect();
        for (id, pid, start_stack) in new {
            let charset = self.follow.snapshot.view.charset;
            let Some(target) = Target::open(pid, charset, self.sysv_minor) else { continue };
            let names = target.open_list(List::Maps).ok().map(Names::new);
            self.resolver.begin(&mut self.engine, id, names);
            let head = Process { start_stack, ..target.head().clone() };
            self.processes.insert(pid, head);
        }
    }

    fn print(&mut self, change: &Change) {
        let nobody = Process::default();
        let owner = self.engine.space(change.space).map_or(change.pid, |space| space.owner);
        let process = self.processes.get(&owner).unwrap_or(&nobody);
        let files = &self.engine.files;
        let space = self.engine.space(change.space);
        let name = |entry| space.map(|space| space.mapping(entry, files));
        let pieces: Vec<Piece<'_>> = change
            .pieces
            .iter()
            .filter_map(|piece: &Verdict| match piece {
                Kind::Added(e) => Some(Piece::Added(name(e)?)),
                Kind::Removed(e) => Some(Piece::Removed(name(e)?)),
                Kind::Changed(a, b) => Some(Piece::Changed(name(a)?, name(b)?)),
                Kind::Kept(_) => None,
            })
            .collect();
        if self.follow.json {
            view::push_change(self.out.row(), change, &pieces, self.clock);
        } else {
            self.lines.push(self.out.row(), change, &pieces, process);
        }
    }

    /// Prints every live table, in the format that the options chose.
    pub(super) fn list(&mut self) {
        for (id, version) in self.kernel_versions() {
            self.resolver.refresh(&mut self.engine, id);
            let Some(space) = self.engine.space(id) else { continue };
            let nobody = Process { pid: space.owner, ..Process::default() };
            let process = self.processes.get(&space.owner).unwrap_or(&nobody);
            let none = super::reconcile::Extra::default();
            let schedule = self.schedules.get(&id);
            let extra = schedule.map_or(&none, |schedule| &schedule.extra);
            let view = &self.follow.snapshot.view;
            let standing = Standing {
                space: id,
                version: space.version,
                behind: version.map_or(0, |version| version.saturating_sub(space.version)),
                in_doubt: !space.is_sure(),
                smaps_age: schedule.and_then(|s| s.looked).map(|at| at.elapsed()),
            };
            let mut renderer =
                if self.follow.json { Renderer::json(view) } else { Renderer::text(view) };
            renderer.head_live(&mut self.out, process, &standing);
            let gate = self.resolver.has_gate(id);
            listing::print(space, &self.engine.files, gate, extra, &mut renderer, &mut self.out);
        }
    }

    /// Prints the line at the end.
    pub(super) fn summarise(&mut self) {
        let mut totals = self.engine.totals();
        totals.lost += self.tracer.lost();
        let drift = self.drift + self.schedules.values().map(|s| s.drift).sum::<u64>();
        if self.follow.json {
            view::push_summary(self.out.row(), &totals, drift);
        } else {
            self.lines.push_summary(self.out.row(), &totals, drift);
        }
    }

    /// Processes that ended without a word: their exit was lost, or they were killed before.
    pub(super) fn bury(&mut self) {
        let charset = self.follow.snapshot.view.charset;
        self.living.retain(|pid| {
            // One that nobody waits for stays in the list, without a thread.
            let target = Target::open(*pid, charset, None);
            target.is_some_and(|target| target.living_thread().is_some())
        });
    }

    /// Where programs did not run, looks for what they would have told: sections, and images. To be
    /// called now and then: a process that is found without a table may be in the middle of its exec,
    /// and is read if it has none [`LONG_EXEC`] later.
    pub(super) fn make_up_for_missed(&mut self) {
        let without = self.without_table();
        self.suspects.retain(|pid, _| without.contains(pid));
        let long = |since: &mut Instant| since.elapsed() > LONG_EXEC;
        let due: Vec<u32> =
            self.suspects.extract_if(.., |_, since| long(since)).map(|(pid, _)| pid).collect();
        for pid in due {
            let Ok(entries) = self.tracer.follow(pid, self.follow.children) else { continue };
            // What it has executed meanwhile is in the ring, and what it shares is known.
            self.pump();
            if self.without_table().contains(&pid)
                && entries.first().is_some_and(|e| self.engine.space(e.space).is_none())
                && let Some(id) = self.engine.read(pid, entries)
                && let Some(space) = self.engine.space_mut(id)
            {
                space.lost += 1;
            }
        }
        if self.tracer.has_missed() {
            tracing::debug!("a program did not run");
            let owners: Vec<u32> = self.engine.spaces().map(|space| space.owner).collect();
            for pid in owners {
                // One that is gone has nothing to count.
                let _ = self.tracer.count_again(pid);
            }
            for pid in without {
                self.suspects.entry(pid).or_insert_with(Instant::now);
            }
        }
    }

    /// The processes that live, have executed something, and have no table of their own.
    fn without_table(&self) -> BTreeSet<u32> {
        let mut found = self.living.clone();
        found.retain(|pid| self.processes.contains_key(pid));
        for space in self.engine.spaces() {
            found.remove(&space.owner);
        }
        found
    }

    /// Writes out what is ready.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// ns of `CLOCK_MONOTONIC`.
pub(super) fn monotonic() -> u64 {
    read_clock(libc::CLOCK_MONOTONIC)
}

fn read_clock(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills in the time.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

/// How the kernel's time becomes the user's.
fn clock() -> Clock {
    let utc = read_clock(libc::CLOCK_REALTIME);
    let seconds = (utc / 1_000_000_000).cast_signed();
    // SAFETY: plain data, for which all zeros is a value; the call fills it in.
    let local = unsafe {
        let mut local: libc::tm = std::mem::zeroed();
        libc::localtime_r(&raw const seconds, &raw mut local);
        local
    };
    Clock { to_utc: utc.wrapping_sub(monotonic()), to_local: local.tm_gmtoff * 1_000_000_000 }
}

/// Standard output, without a buffer of its own.
pub(super) fn stdout() -> io::Result<Output<File>> {
    use std::os::fd::AsFd as _;
    io::stdout().flush()?;
    Ok(Output::new(File::from(io::stdout().as_fd().try_clone_to_owned()?)))
}
