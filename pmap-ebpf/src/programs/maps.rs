//! What lives between two calls of a program.

use super::{
    kernel::{config, half, word},
    maple::{Scan, Walk},
};
use aya_ebpf::{
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuArray, RingBuf},
};
use pmap_ebpf::{HEADER_LEN, Name, SECTION_LEN, SECTION_VMAS, SpaceState, Vma};

/// Records on their way to userspace. Resized before the load.
#[map]
pub(super) static RECORDS: RingBuf = RingBuf::with_byte_size(1 << 22, 0);

/// Followed address spaces, keyed by the address of their `mm_struct`.
#[map]
pub(super) static SPACES: HashMap<u64, SpaceState> = HashMap::with_max_entries(4096, 0);

/// Slots of [`MAYBE`].
const MAYBE_SLOTS: usize = 4096;

/// 1 where an address space with such a `mmap_base` was followed: a look here spares most others a
/// search in [`SPACES`]. Never cleared, since that could be another's slot too.
#[unsafe(no_mangle)]
static mut MAYBE: [u8; MAYBE_SLOTS] = [0; MAYBE_SLOTS];

/// The place of an address space. Its own address is a pointer to the verifier, and no number to
/// count with; where its mappings begin is one, and differs from process to process.
#[inline(always)]
unsafe fn maybe(mm: *const u8) -> *mut u8 {
    // SAFETY: as the callers say; inside the array, as the mask says.
    unsafe {
        let base = word(mm, config!(mm_mmap_base));
        let slot = ((base >> 12) ^ (base >> 24)) as usize & (MAYBE_SLOTS - 1);
        (&raw mut MAYBE).cast::<u8>().add(slot)
    }
}

/// State of a followed address space.
///
/// # Safety
/// `mm` is a pointer with BTF type `mm_struct`.
#[inline(always)]
pub(super) unsafe fn space(mm: *const u8) -> Option<*mut SpaceState> {
    // SAFETY: as the caller says.
    if unsafe { maybe(mm).read_volatile() } == 0 {
        return None;
    }
    SPACES.get_ptr_mut(&(mm as u64))
}

/// What `mm_lock_seq` will be after the open write section, or is, where none is open.
///
/// # Safety
/// As for [`space`].
#[inline(always)]
pub(super) unsafe fn lock_seq(mm: *const u8) -> u64 {
    if config!(mm_lock_seq) == 0 {
        return 0;
    }
    // SAFETY: as the caller says.
    let now = unsafe { half(mm, config!(mm_lock_seq)) };
    // Raised when the lock is taken for writing, and when it is let go: `include/linux/mmap_lock.h`.
    u64::from(now.wrapping_add(now & 1))
}

/// Write sections since the last one that `state` knows: more than one where a program did not run,
/// which since 7.0 happens while another thread is preempted inside it on this CPU
/// (`bpf_prog_get_recursion_context` of `include/linux/bpf.h`). Without `mm_lock_seq`, `known`.
#[inline(always)]
pub(super) fn sections(state: &SpaceState, seq: u64, known: u64) -> u64 {
    if config!(mm_lock_seq) == 0 {
        return known;
    }
    u64::from((seq as u32).wrapping_sub(state.seq as u32) >> 1)
}

/// Begins to follow an address space; `None` where there is no room.
///
/// # Safety
/// As for [`space`].
#[inline(always)]
pub(super) unsafe fn add_space(mm: *const u8, state: &SpaceState) -> Option<*mut SpaceState> {
    SPACES.insert(&(mm as u64), state, 0).ok()?;
    // SAFETY: as the caller says; only ones are written.
    unsafe { maybe(mm).write_volatile(1) };
    SPACES.get_ptr_mut(&(mm as u64))
}

/// Followed thread groups (numbers of the initial PID namespace); bit 0: children too.
#[map]
pub(super) static GROUPS: HashMap<u32, u32> = HashMap::with_max_entries(8192, 0);

/// Threads whose call's result the first copy of a program has told; the second takes them out.
#[map]
pub(super) static TOLD: LruHashMap<u32, u32> = LruHashMap::with_max_entries(8192, 0);

/// Numbers that userspace hands to the iterator, and counters that it takes back.
#[map]
pub(super) static SHARED: Array<u64> = Array::with_max_entries(4, 0);

/// Slots of [`SHARED`].
pub(super) mod shared {
    /// Bit 0: the iterator begins to follow what it walks; bit 1: its children too; bit 2: from
    /// its next exec on.
    pub(in super::super) const FOLLOW: u32 = 0;
    /// 1 while the reader sleeps and is to be woken; otherwise it looks by itself.
    pub(in super::super) const ASLEEP: u32 = 1;
    /// Records lost outside of any followed address space.
    pub(in super::super) const LOST: u32 = 2;
    /// Key of the address space that the end of its next write section tells whole.
    pub(in super::super) const ASKED: u32 = 3;
}

/// A section's record while it is put together.
#[repr(C)]
pub(super) struct Scratch {
    /// The record's head, and the section's.
    pub head: [u64; (HEADER_LEN + SECTION_LEN) / 8],
    /// Its mappings.
    pub vmas: [Vma; SECTION_VMAS],
    /// How far they are read.
    pub scan: Scan,
    /// The way down the tree to the next of them.
    pub walk: Walk,
}

/// Slots of [`SCRATCH`] and [`NAME_SCRATCH`], one a program: a program runs once a CPU at a time, but
/// since 7.0 another one may run while it is preempted.
pub(super) mod slots {
    pub(in super::super) const RELEASED: u32 = 0;
    pub(in super::super) const ACQUIRED: u32 = 1;
    pub(in super::super) const EXEC: u32 = 2;
    pub(in super::super) const FORK: u32 = 3;
    /// Added for the second copy of a program.
    pub(in super::super) const AGAIN: u32 = 4;
    pub(super) const COUNT: u32 = 8;
}

/// One for each program and CPU.
#[map]
pub(super) static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(slots::COUNT, 0);

/// A name's record while it is put together.
#[repr(C)]
pub(super) struct NameScratch {
    /// The record's head.
    pub head: [u64; HEADER_LEN / 8],
    /// The name.
    pub name: Name,
}

/// One for each program and CPU.
#[map]
pub(super) static NAME_SCRATCH: PerCpuArray<NameScratch> =
    PerCpuArray::with_max_entries(slots::COUNT, 0);

/// Files whose name was sent already: dentry, then inode and generation.
#[map]
pub(super) static NAMED: LruHashMap<[u64; 2], u32> = LruHashMap::with_max_entries(16384, 0);
