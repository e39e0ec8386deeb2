//! Reads smaps on a thread of its own, as rarely as its cost asks for, and compares it with the
//! table.

use std::{
    collections::HashMap,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{
    kernel::Versions,
    live::{Engine, Reason},
    model::{Device, Perms},
    proc::{Rows as _, process::List, process::Target, smaps},
    table::What,
    text::Charset,
};

/// The least time between two looks, unless the user sets another.
const LEAST_INTERVAL: Duration = Duration::from_secs(1);

/// Whose smaps to read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) space: u64,
    pub(super) key: u64,
    pub(super) pid: u32,
}

/// What smaps says of one mapping.
#[derive(Debug)]
struct Row {
    start: u64,
    end: u64,
    perms: Perms,
    offset: u64,
    device: Device,
    inode: u64,
    name: Box<[u8]>,
    rss: u64,
    dirty: u64,
    /// All of it, where a view asks for more than the two.
    figures: Option<Figures>,
}

/// One reading of smaps.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) job: Job,
    rows: Vec<Row>,
    keys: crate::model::Keys,
    /// Version of the address space before and after, where it was the same.
    version: Option<u64>,
    /// `start_stack` before and after, where it was the same: an image is known by it.
    start_stack: Option<u64>,
    cost: Duration,
    at: Instant,
}

/// The thread that reads.
pub(super) struct Reader {
    jobs: Sender<Job>,
    pub(super) reports: UnboundedReceiver<Report>,
}

impl Reader {
    /// Starts the thread; `all` keeps every value of smaps.
    pub(super) fn start(versions: Versions, all: bool) -> Self {
        let (jobs, queue) = channel();
        let (sink, reports) = unbounded_channel();
        // Ends when either channel does.
        thread::spawn(move || work(&versions, all, &queue, &sink));
        Self { jobs, reports }
    }

    pub(super) fn ask(&self, job: Job) {
        // A thread that is gone reads nothing: the figures grow old, and say so.
        let _ = self.jobs.send(job);
    }
}

fn work(versions: &Versions, all: bool, jobs: &Receiver<Job>, sink: &UnboundedSender<Report>) {
    while let Ok(job) = jobs.recv() {
        let begin = Instant::now();
        let before = versions.get(job.key, job.space);
        let mut report = Report {
            job,
            rows: Vec::new(),
            keys: crate::model::Keys::new(),
            version: None,
            start_stack: None,
            cost: Duration::ZERO,
            at: begin,
        };
        let complete = read(&mut report, all).is_some();
        let after = versions.get(job.key, job.space);
        report.version = before.filter(|_| complete && before == after);
        report.cost = begin.elapsed();
        if sink.send(report).is_err() {
            return;
        }
    }
}

fn read(report: &mut Report, all: bool) -> Option<()> {
    let mut target = Target::open(report.job.pid, Charset::Ascii, None)?;
    let file = match target.open_survivor_list(List::Smaps) {
        Some(file) => file,
        None => target.open_list(List::Smaps).ok()?,
    };
    let wanted = |key: &[u8]| all || matches!(key, b"Rss" | b"Shared_Dirty" | b"Private_Dirty");
    let mut rows = smaps::Reader::new(file, wanted);
    while let Some((mapping, details)) = rows.next_row().ok()? {
        if all {
            for key in details.keys.iter() {
                report.keys.intern(key);
            }
        }
        report.rows.push(Row {
            start: mapping.start,
            end: mapping.end,
            perms: mapping.perms,
            offset: mapping.offset,
            device: mapping.device,
            inode: mapping.inode,
            name: mapping.name.into(),
            rss: details.rss().unwrap_or(0),
            dirty: details.dirty().unwrap_or(0),
            figures: all.then(|| Figures {
                values: details.values.into(),
                flags: details.flags.map(Into::into),
            }),
        });
    }
    let before = target.head().start_stack;
    let mut after = Target::open(report.job.pid, Charset::Ascii, None)?;
    // Where the first thread has ended, only another one's `stat` has it.
    drop(after.open_survivor_list(List::Maps));
    report.start_stack = (after.head().start_stack == before).then_some(before);
    target.has_address_space().then_some(())
}

/// What smaps said of each mapping, beside RSS and dirty memory.
#[derive(Debug, Default)]
pub(super) struct Extra {
    pub(super) keys: crate::model::Keys,
    rows: HashMap<(u64, u64), Figures>,
}

/// Of one mapping.
#[derive(Debug)]
pub(super) struct Figures {
    /// A value for each key.
    pub(super) values: Box<[Option<u64>]>,
    /// `VmFlags`.
    pub(super) flags: Option<Box<[u8]>>,
}

impl Extra {
    /// The figures of the mapping with these ends.
    pub(super) fn get(&self, start: u64, end: u64) -> Option<&Figures> {
        self.rows.get(&(start, end))
    }
}

/// When to look again, and what came of it.
#[derive(Debug)]
pub(super) struct Schedule {
    interval: Duration,
    /// Share of the time that reading may take, from 0 to 1.
    budget: f64,
    next: Option<Instant>,
    /// When the figures were read.
    pub(super) looked: Option<Instant>,
    /// Mappings that differed.
    pub(super) drift: u64,
    /// Whether the last comparison found a difference.
    suspected: bool,
    pub(super) extra: Extra,
}

impl Schedule {
    pub(super) fn new(interval: Option<Duration>, percent: f64) -> Self {
        let budget = (percent / 100.0).clamp(0.0001, 1.0);
        Self {
            interval: interval.unwrap_or(LEAST_INTERVAL),
            budget,
            next: Some(Instant::now()),
            looked: None,
            drift: 0,
            suspected: false,
            extra: Extra::default(),
        }
    }

    /// Whether it is time to look; not before the answer to the last question is there.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let due = self.next.is_some_and(|next| next <= now);
        if due {
            self.next = None;
        }
        due
    }

    /// Takes in a reading. The table must stand at what the kernel had after it.
    pub(super) fn take(&mut self, report: Report, engine: &mut Engine) {
        let pause = report.cost.div_f64(self.budget).max(self.interval);
        self.next = Some(Instant::now() + pause);
        let id = report.job.space;
        let (files, space) = engine.files_and_space(id);
        let Some(space) = space else { return };
        // During an exec the list is the new image's while the old address space is still there.
        if report.rows.is_empty() || report.start_stack != Some(space.start_stack) {
            return;
        }
        self.looked = Some(report.at);
        for row in &report.rows {
            space.table.note_usage(row.start, row.end, row.rss, row.dirty);
        }
        let comparable = space.is_sure() && report.version == Some(space.version);
        if comparable {
            let differing = differences(&report.rows, files, space);
            // Without randomisation two images may begin alike, and new kernels read the list without
            // the lock, in the middle of a section: a difference counts when it is seen twice.
            let suspected = std::mem::replace(&mut self.suspected, differing > 0);
            if differing > 0 && !suspected {
                self.next = Some(Instant::now());
            } else if differing > 0 {
                self.drift += differing;
                tracing::warn!(space = id, version = space.version, differing, "drift");
                engine.doubt(id, Reason::Drift);
            }
        }
        if !report.keys.is_empty() {
            self.extra.keys = report.keys;
            self.extra.rows = report
                .rows
                .into_iter()
                .filter_map(|row| Some(((row.start, row.end), row.figures?)))
                .collect();
        }
    }
}

/// Mappings that smaps and the table do not have alike. Names are taken over: a rename is no
/// change of a mapping.
fn differences(rows: &[Row], files: &mut crate::live::Files, space: &crate::live::Space) -> u64 {
    let mut entries = space.table.iter();
    let mut count = 0;
    // The gate page is in no tree.
    for row in rows.iter().filter(|row| &*row.name != b"[vsyscall]") {
        let Some(entry) = entries.next() else {
            count += 1;
            continue;
        };
        let same = (entry.start, entry.end, entry.perms, entry.offset)
            == (row.start, row.end, row.perms, row.offset);
        if same && entry.what != What::default() {
            files.note(entry.what, row.device, row.inode, &row.name);
        }
        let mapping = space.mapping(&entry, files);
        if !same
            || (mapping.device, mapping.inode) != (row.device, row.inode)
            || mapping.name != &*row.name
        {
            count += 1;
        }
    }
    count + entries.count() as u64
}
