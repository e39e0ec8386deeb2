//! Loads the programs, attaches them, and hands out what they say.

use std::{
    collections::HashMap as Table,
    io,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use aya::{
    Btf as AyaBtf, Ebpf, EbpfError, EbpfLoader,
    maps::{Array, HashMap, MapData, RingBuf},
    programs::{BtfTracePoint, Iter, ProgramError, ProgramType},
    sys::{BpfHelper, is_helper_supported, is_program_supported},
};
use pmap_ebpf::{Config, LEVEL_ASKED, Reader};

use super::{
    bpf,
    btf::Btf,
    hooks::{Hook, HookFacts, hooks},
    iter::VmaIterator,
    layout::{self, Missing, ReaderFacts},
    object,
    returns::{self, Results, Returns, choose_results},
    syscalls,
};
use crate::record::{IterEntry, Record, decode};

/// The program that reads mappings on demand.
const ITERATOR: &str = "task_vma";

/// How long a program is offered to the verifier again and again.
const INSISTENCE: Duration = Duration::from_secs(10);

/// How often the kernel is asked whether it has a helper.
const ASKED: usize = 5;

/// Slots of the array `SHARED` (see `pmap-ebpf`, `maps.rs`).
mod shared {
    pub(super) const FOLLOW: u32 = 0;
    pub(super) const ASLEEP: u32 = 1;
    pub(super) const LOST: u32 = 2;
}

/// Why the programs are not at work.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel shows no types.
    #[error(
        "cannot read the kernel's types from /sys/kernel/btf/vmlinux: {0}; --follow needs a \
         kernel built with CONFIG_DEBUG_INFO_BTF"
    )]
    NoBtf(io::Error),
    /// The kernel is too old, or too new.
    #[error(
        "this kernel has no {}; --follow needs Linux 6.1 or later with CONFIG_TRACING \
         (see pmap --check)",
        .0.0
    )]
    Missing(Missing),
    /// The kernel does not let us.
    #[error("may not load eBPF programs ({0}): run as root, or with CAP_BPF and CAP_PERFMON")]
    Permission(String),
    /// The verifier, or something else, said no.
    #[error("the kernel refused the eBPF program {program}: {reason}")]
    Refused {
        /// Which one.
        program: String,
        /// What the kernel said.
        reason: String,
    },
}

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
            config.pid_level = own_level(open(&config, kfunc, 4096, &aya_types)?, &aya_types)?;
        }
        let mut ebpf = open(&config, kfunc, options.ring_bytes, &aya_types)?;
        let returns = attach_returns(&ebpf, kfunc, options.results, &types)?;
        if returns.is_some() {
            facts.results = Results::Functions;
        }
        let hooks: Vec<Hook> = hooks(facts).collect();
        attach(&mut ebpf, &hooks, &aya_types)?;
        let last = last(&ebpf, &hooks)?;
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
    !aya::features().bpf_global_data()
        && is_program_supported(ProgramType::SocketFilter).unwrap_or(false)
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

fn take<M, E: ToString>(
    ebpf: &mut Ebpf,
    name: &str,
    make: impl FnOnce(aya::maps::Map) -> Result<M, E>,
) -> Result<M, StartError> {
    let refused = |reason: String| StartError::Refused { program: format!("map {name}"), reason };
    let map = ebpf.take_map(name).ok_or_else(|| refused("not in the object".into()))?;
    make(map).map_err(|e| refused(e.to_string()))
}

/// Makes the maps, and the programs ready to be loaded.
fn open(config: &Config, kfunc: u32, ring_bytes: u32, types: &AyaBtf) -> Result<Ebpf, StartError> {
    // SAFETY: `Config` is `repr(C)`, of `u32` only, so every byte of it is initialised.
    let bytes = unsafe {
        std::slice::from_raw_parts((&raw const *config).cast::<u8>(), size_of::<Config>())
    };
    let (native, compat) = (syscalls::native(), syscalls::compat());
    let object = object::with_kfunc(kfunc);
    EbpfLoader::new()
        .btf(Some(types))
        .override_global("CONFIG", bytes, true)
        .override_global("CLASSES", &native[..], true)
        .override_global("COMPAT_CLASSES", &compat[..], true)
        .map_max_entries("RECORDS", ring_bytes)
        .load(&object)
        .map_err(|e| match e {
            EbpfError::MapError(e) if is_permission(&e) => StartError::Permission(e.to_string()),
            e => StartError::Refused { program: "object".into(), reason: chain(&e) },
        })
}

/// Watches the functions of the watched calls, where that is the way to their results.
fn attach_returns(
    ebpf: &Ebpf,
    kfunc: u32,
    asked: Option<Results>,
    types: &Btf,
) -> Result<Option<Returns>, StartError> {
    if asked.unwrap_or_else(|| choose_results(returns::facts(types))) == Results::SysExit {
        return Ok(None);
    }
    match Returns::attach(&object::with_kfunc(kfunc), ebpf, types) {
        Ok(returns) => Ok(Some(returns)),
        Err(error) if asked.is_some() => {
            Err(StartError::Refused { program: returns::PROGRAM.into(), reason: error.to_string() })
        }
        Err(error) => {
            tracing::debug!(%error, "the watched functions cannot be watched");
            Ok(None)
        }
    }
}

/// Loads the programs, then lets them run.
fn attach(ebpf: &mut Ebpf, hooks: &[Hook], types: &AyaBtf) -> Result<(), StartError> {
    for hook in hooks {
        let program: &mut BtfTracePoint = typed(ebpf, hook.program)?;
        load(hook.program, || program.load(hook.tracepoint, types))?;
    }
    load_iterator(ebpf, types)?;
    // A second program after its first: in this order they run.
    for hook in hooks {
        let program: &mut BtfTracePoint = typed(ebpf, hook.program)?;
        program.attach().map_err(|e| refused(hook.program, e))?;
    }
    Ok(())
}

/// The second programs, or all where there are none.
fn last(ebpf: &Ebpf, hooks: &[Hook]) -> Result<Vec<OwnedFd>, StartError> {
    let twice = hooks.iter().any(Hook::is_second);
    let last = hooks.iter().filter(|hook| !twice || hook.is_second());
    last.map(|hook| {
        let program = ebpf.program(hook.program).ok_or(ProgramError::NotLoaded);
        let fd = program.and_then(|program| Ok(program.fd()?.as_fd().try_clone_to_owned()));
        let refused = |reason| StartError::Refused { program: hook.program.into(), reason };
        fd.map_err(|e| refused(chain(&e)))?.map_err(|e| refused(e.to_string()))
    })
    .collect()
}

fn load_iterator(ebpf: &mut Ebpf, types: &AyaBtf) -> Result<(), StartError> {
    let program = typed::<Iter>(ebpf, ITERATOR)?;
    load(ITERATOR, || program.load("task_vma", types))
}

/// Loads a program: again where a signal came in between, for which the verifier gives up
/// (`do_check` of `kernel/bpf/verifier.c`).
fn load(
    name: &str,
    mut attempt: impl FnMut() -> Result<(), ProgramError>,
) -> Result<(), StartError> {
    let begin = Instant::now();
    loop {
        match attempt() {
            Err(e) if is_interrupted(&e) && begin.elapsed() < INSISTENCE => {}
            result => return result.map_err(|e| refused(name, e)),
        }
    }
}

/// How deep our own PID namespace is: nothing in `/proc` tells it from inside.
fn own_level(mut ebpf: Ebpf, types: &AyaBtf) -> Result<u32, StartError> {
    load_iterator(&mut ebpf, types)?;
    let unknown = |reason: String| StartError::Refused { program: ITERATOR.into(), reason };
    let mut shared: Array<_, u64> = take(&mut ebpf, "SHARED", Array::try_from)?;
    shared.set(shared::FOLLOW, 1, 0).map_err(|e| unknown(e.to_string()))?;
    let program = typed::<Iter>(&mut ebpf, ITERATOR)?;
    let fd = program.fd().map_err(|e| unknown(chain(&e)))?;
    let own = std::process::id();
    let entries = VmaIterator::new(fd.as_fd(), own)
        .and_then(|iterator| iterator.read(own))
        .map_err(|e| unknown(e.to_string()))?;
    let first = entries.first().ok_or_else(|| unknown("it found no mapping of ours".into()))?;
    Ok(first.pid)
}

fn typed<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, StartError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or(ProgramError::NotLoaded)
        .and_then(TryInto::try_into)
        .map_err(|e| refused(name, e))
}

fn refused(program: &str, error: ProgramError) -> StartError {
    if is_permission(&error) {
        return StartError::Permission(format!("program {program}"));
    }
    StartError::Refused { program: program.into(), reason: chain(&error) }
}

/// Whether the kernel does not let us: the verifier says no with `EACCES`.
fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    error_number(error) == Some(libc::EPERM)
}

fn is_interrupted(error: &(dyn std::error::Error + 'static)) -> bool {
    error_number(error) == Some(libc::EAGAIN)
}

/// The kernel's answer at the root of an error.
fn error_number(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    std::iter::successors(Some(error), |e| e.source())
        .find_map(|e| e.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error))
}

/// An error and what caused it, in one line but for a verifier's log.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
