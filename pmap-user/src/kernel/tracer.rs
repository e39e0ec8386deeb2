//! The programs at work: what they are asked, and what they say.

use std::{
    collections::HashMap as Table,
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
};

use aya::{
    Btf as AyaBtf, Ebpf,
    maps::{Array, HashMap, MapData, RingBuf},
    programs::ProgramType,
    sys::{BpfHelper, is_helper_supported, is_program_supported},
};
use pmap_ebpf::{LEVEL_ASKED, Reader};

use super::{
    bpf,
    btf::Btf,
    error::StartError,
    hooks::{Hook, HookFacts, hooks},
    iter::VmaIterator,
    layout::{self, ReaderFacts},
    load::{self, ITERATOR, shared, take},
    results::Results,
    returns::Returns,
};
use crate::record::{IterEntry, Record, decode};

/// How often the kernel is asked whether it has a helper.
const ASKED: usize = 5;

/// How often it is asked whether it allows programs at all.
const OFTEN_ASKED: usize = 20;

/// How the tracer is set up.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Size of the ring buffer in bytes: a power of two, and whole pages.
    pub ring_bytes: u32,
    /// A reader other than the best that the kernel allows.
    pub reader: Option<Reader>,
    /// Where results come from, other than from the cheapest that the kernel allows.
    pub results: Option<Results>,
    /// Whether we are in a PID namespace other than the initial one.
    pub nested: bool,
    /// Whether this kernel is one whose iterator over a process may miss it when its first thread has
    /// ended: before 6.7.
    pub misses_threads: bool,
    /// Whether programs on tracepoints may be preempted: see [`HookFacts::preemptible`].
    pub preemptible: bool,
}

impl Options {
    /// What is usual on a kernel of this release: what it does is not to be seen otherwise.
    pub fn of_release(release: Option<(u16, u8)>) -> Self {
        let is_before = |other| release.is_some_and(|release| release < other);
        Self {
            ring_bytes: 16 << 20,
            reader: None,
            results: None,
            nested: false,
            misses_threads: is_before((6, 7)),
            preemptible: !is_before((7, 0)),
        }
    }
}

/// The programs at work. Dropped, nothing of them is left in the kernel.
pub struct Tracer {
    /// Holds the programs and their links.
    ebpf: Ebpf,
    ring: RingBuf<MapData>,
    spaces: Arc<HashMap<MapData, u64, [u64; 7]>>,
    shared: Array<MapData, u64>,
    iterators: Table<u32, VmaIterator>,
    reader: Reader,
    /// Where results come from, if not from `sys_exit`.
    returns: Option<Returns>,
    misses_threads: bool,
    /// The programs whose not running leaves a gap.
    last: Vec<OwnedFd>,
    /// How often they had not run when that was last looked at.
    missed: u64,
}

impl Tracer {
    /// Loads and attaches every program.
    ///
    /// # Errors
    /// One sentence for each way in which a kernel can refuse.
    pub fn start(options: Options) -> Result<Self, StartError> {
        let types = Btf::read(&layout::wanted()).map_err(StartError::NoBtf)?;
        let mut config = layout::config(&types).map_err(StartError::Missing)?;
        let cast = types.function(layout::CAST);
        let reader = options.reader.unwrap_or_else(|| {
            layout::choose_reader(ReaderFacts {
                cast,
                // Asking takes the loading of a program: only where it matters.
                probe: cast.is_none() && probe_allowed(),
                maple: config.range_slots != 0,
            })
        });
        config.reader = reader as u32;
        let mut facts = HookFacts {
            memcg_path: layout::memcg_path(&types).map_err(StartError::Missing)?,
            preemptible: options.preemptible,
            counted: config.mm_lock_seq != 0,
            results: Results::SysExit,
        };
        config.twice = u32::from(hooks(facts).any(|hook| hook.is_second()));
        let kfunc = cast.unwrap_or(0);
        let aya_types =
            AyaBtf::from_sys_fs().map_err(|e| StartError::NoBtf(io::Error::other(e)))?;
        if options.nested {
            config.pid_level = LEVEL_ASKED;
            config.pid_level =
                load::own_level(load::open(&config, kfunc, 4096, &aya_types)?, &aya_types)?;
        }
        let mut ebpf = load::open(&config, kfunc, options.ring_bytes, &aya_types)?;
        let returns = load::attach_returns(&ebpf, kfunc, options.results, &types)?;
        if returns.is_some() {
            facts.results = Results::Functions;
        }
        let hooks: Vec<Hook> = hooks(facts).collect();
        load::attach(&mut ebpf, &hooks, &aya_types)?;
        let last = load::last(&ebpf, &hooks)?;
        tracing::debug!(?reader, ?facts, level = config.pid_level, "attached");
        let ring = take(&mut ebpf, "RECORDS", RingBuf::try_from)?;
        let spaces = Arc::new(take(&mut ebpf, "SPACES", HashMap::try_from)?);
        let shared = take(&mut ebpf, "SHARED", Array::try_from)?;
        let misses_threads = options.misses_threads;
        let iterators = Table::new();
        let missed = 0;
        Ok(Self {
            ebpf,
            ring,
            spaces,
            shared,
            iterators,
            reader,
            returns,
            misses_threads,
            last,
            missed,
        })
    }

    /// How the programs read mappings.
    pub fn reader(&self) -> Reader {
        self.reader
    }

    /// Where results come from.
    pub fn results(&self) -> Results {
        if self.returns.is_some() { Results::Functions } else { Results::SysExit }
    }

    /// Begins to follow a process, and its children if so asked: gives its
    /// mappings, each with the version at which it was so. Empty where it has no address space
    /// (any more).
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn follow(&mut self, pid: u32, children: bool) -> io::Result<Vec<IterEntry>> {
        self.follow_how(pid, 1 | u64::from(children) << 1)
    }

    /// Begins to follow a process when it executes a program.
    ///
    /// # Errors
    /// As [`Self::follow`].
    pub fn follow_from_exec(&mut self, pid: u32, children: bool) -> io::Result<()> {
        self.follow_how(pid, 1 | u64::from(children) << 1 | 4).map(drop)
    }

    fn follow_how(&mut self, pid: u32, how: u64) -> io::Result<Vec<IterEntry>> {
        self.set(shared::FOLLOW, how)?;
        // Not of all: each would be followed.
        let entries = self.read_by(pid, pid);
        self.set(shared::FOLLOW, 0)?;
        entries
    }

    /// Reads the mappings of a process that is followed; as [`Self::follow`].
    ///
    /// # Errors
    /// As [`Self::follow`].
    pub fn read(&mut self, pid: u32) -> io::Result<Vec<IterEntry>> {
        let entries = self.read_by(pid, pid)?;
        if entries.is_empty() && self.misses_threads {
            return self.read_by(0, pid);
        }
        Ok(entries)
    }

    /// Asks the programs for a whole address space: the end of its next write section tells it, with
    /// the lock held, so that no writer is waited for. By its key; one at a time, the last one asked
    /// for. Zero takes it back.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn ask(&mut self, key: u64) -> io::Result<()> {
        self.set(shared::ASKED, key)
    }

    /// Reads through the iterator over a process, or over all with zero.
    fn read_by(&mut self, iterator: u32, pid: u32) -> io::Result<Vec<IterEntry>> {
        if !self.iterators.contains_key(&iterator) {
            let program = self.ebpf.program(ITERATOR).ok_or(io::ErrorKind::NotFound)?;
            let fd = program.fd().map_err(io::Error::other)?;
            self.iterators.insert(iterator, VmaIterator::new(fd.as_fd(), iterator)?);
        }
        self.iterators[&iterator].read(pid)
    }

    /// Asks to be woken by the next record. Records that came before are to be looked for once more
    /// after that.
    ///
    /// # Errors
    /// What the kernel answers.
    pub fn doze(&mut self) -> io::Result<()> {
        self.set(shared::ASLEEP, 1)
    }

    /// Forgets how to read the mappings of a process that is gone.
    pub fn forget(&mut self, pid: u32) {
        self.iterators.remove(&pid);
    }

    fn set(&mut self, slot: u32, value: u64) -> io::Result<()> {
        self.shared.set(slot, value, 0).map_err(io::Error::other)
    }

    /// Hands every waiting record to `each`, until there is none or `each` returns false. Returns
    /// how many there were.
    pub fn drain(&mut self, mut each: impl FnMut(Record<'_>) -> bool) -> usize {
        let mut count = 0;
        while let Some(item) = self.ring.next() {
            count += 1;
            if let Some(record) = decode(&item)
                && !each(record)
            {
                break;
            }
        }
        count
    }

    /// A descriptor that is readable when records wait.
    ///
    /// # Errors
    /// When no descriptor is left.
    pub fn readiness(&self) -> io::Result<OwnedFd> {
        // SAFETY: the ring's own descriptor, which lives as long as the tracer.
        let ring = unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) };
        ring.try_clone_to_owned()
    }

    /// Tells the versions of address spaces, also on another thread.
    pub fn versions(&self) -> Versions {
        Versions(Arc::clone(&self.spaces))
    }

    /// Whether a program did not run, since this was last asked, though its tracepoint was passed:
    /// then what the tables know may be less than there was.
    pub fn has_missed(&mut self) -> bool {
        let missed = self.last.iter().map(|fd| bpf::recursion_misses(fd.as_fd())).sum();
        missed > std::mem::replace(&mut self.missed, missed)
    }

    /// Lets the kernel's count of a process's write sections be compared with the programs' own: the
    /// larger one is then its version.
    ///
    /// # Errors
    /// As [`Self::follow`].
    pub fn count_again(&mut self, pid: u32) -> io::Result<()> {
        self.read(pid).map(drop)
    }

    /// Records lost outside of any address space, and results that were missed.
    pub fn lost(&self) -> u64 {
        let lost = self.shared.get(&shared::LOST, 0).unwrap_or(0);
        lost + self.returns.as_ref().map_or(0, Returns::missed)
    }
}

/// The versions of followed address spaces as they stand now.
#[derive(Clone)]
pub struct Versions(Arc<HashMap<MapData, u64, [u64; 7]>>);

impl Versions {
    /// Version of the address space with a key and a number; `None` once it ended.
    pub fn get(&self, key: u64, space: u64) -> Option<u64> {
        let [version, number, ..] = self.0.get(&key, 0).ok()?;
        (number == space).then_some(version)
    }
}

/// Whether a signal came in while aya looked at the kernel, which it does once a process: it found that
/// a program cannot have data, which every kernel that allows programs has had since 5.2. Nothing can
/// be loaded by this process then.
pub fn was_disturbed() -> bool {
    // A signal may come in here too; a yes is certain.
    let supported = |_| is_program_supported(ProgramType::SocketFilter).unwrap_or(false);
    !aya::features().bpf_global_data() && (0..OFTEN_ASKED).any(supported)
}

/// Whether `bpf_probe_read_kernel` is allowed: `kernel/trace/bpf_trace.c` asks lockdown. Where the
/// kernel does not say, it is taken not to be.
pub(super) fn probe_allowed() -> bool {
    // aya takes a verifier that a signal stopped for one that knows the helper; a no is certain.
    let answers: Vec<bool> = (0..ASKED)
        .filter_map(|_| {
            let helper = BpfHelper::BPF_FUNC_probe_read_kernel;
            is_helper_supported(ProgramType::RawTracePoint, helper).ok()
        })
        .collect();
    !answers.is_empty() && !answers.contains(&false)
}
