//! A write section of `mmap_lock` ends: read what it leaves behind while the lock is still held.
//!
//! `mmap_lock_released` fires before the lock is let go, and `mmap_lock_acquire_returned` before a
//! downgrade takes effect (`include/linux/mmap_lock.h`), so nobody else can write meanwhile, and
//! the records of one address space stand in the ring buffer in the order of their versions.

use core::ffi::c_void;

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_loop, bpf_task_pt_regs},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use pmap_ebpf::{Header, Reader, SECTION_VMAS, Section, SpaceState, VMA_LEN, class, flags, kinds};

use super::{
    emit,
    kernel::{
        class_of, config, current, half, is_compat, is_kernel_thread, is_write_locked, pointer,
        word,
    },
    maple,
    maps::{SCRATCH, SHARED, lock_seq, sections, shared, slots, space},
};

const PAGE: u64 = 4096;
/// No `vm.mmap_min_addr` is greater.
const LOWEST: u64 = 1 << 20;
/// `MAP_FIXED` and `MAP_FIXED_NOREPLACE` of `include/uapi/asm-generic/mman-common.h`.
const MAP_ANY_FIXED: u64 = 0x10 | 0x10_0000;
/// `MREMAP_FIXED` of `include/uapi/linux/mman.h`.
const MREMAP_FIXED: u64 = 2;
/// `MREMAP_DONTUNMAP`.
const MREMAP_DONTUNMAP: u64 = 4;
/// `SHMAT` and `SHMDT` of `include/uapi/linux/ipc.h`.
const IPC_SHMAT: u64 = 21;
const IPC_SHMDT: u64 = 22;
/// `PR_SET_VMA` of `include/uapi/linux/prctl.h`.
const PR_SET_VMA: u64 = 0x5356_4d41;

/// The `N`th argument of a tracepoint, eight bytes each. The verifier wants the place to stand in
/// the instruction, hence a program for each form of a tracepoint.
#[inline(always)]
unsafe fn argument<const N: usize>(ctx: &BtfTracePointContext) -> u64 {
    // SAFETY: the verifier knows how many there are.
    unsafe { ctx.as_ptr().cast::<u64>().add(N).read_volatile() }
}

/// `mm`, the first argument.
#[inline(always)]
unsafe fn mm(ctx: &BtfTracePointContext) -> *const u8 {
    // SAFETY: the lock's tracepoints begin with it.
    unsafe { ctx.as_ptr().cast::<*const u8>().read_volatile() }
}

/// A lock is about to be let go: `(mm, write)`.
#[btf_tracepoint(function = "mmap_lock_released")]
fn released(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_release(&ctx, argument::<1>(&ctx), slots::RELEASED) }
}

/// The second copy, for what the first did not run for: see [`sections`].
#[btf_tracepoint(function = "mmap_lock_released")]
fn released_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_release(&ctx, argument::<1>(&ctx), slots::RELEASED + slots::AGAIN) }
}

/// As [`released`], `(mm, memcg_path, write)`.
#[btf_tracepoint(function = "mmap_lock_released")]
fn released_memcg(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_release(&ctx, argument::<2>(&ctx), slots::RELEASED) }
}

#[inline(always)]
unsafe fn on_release(ctx: &BtfTracePointContext, write: u64, slot: u32) -> i32 {
    if write & 255 != 0 {
        // SAFETY: as the callers say.
        unsafe { ended(mm(ctx), 0, slot) };
    }
    0
}

/// A lock was taken, or is about to be downgraded: `(mm, write, success)`.
#[btf_tracepoint(function = "mmap_lock_acquire_returned")]
fn acquired(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_acquire(&ctx, argument::<1>(&ctx), argument::<2>(&ctx), slots::ACQUIRED) }
}

/// The second copy, as [`released_again`].
#[btf_tracepoint(function = "mmap_lock_acquire_returned")]
fn acquired_again(ctx: BtfTracePointContext) -> i32 {
    let slot = slots::ACQUIRED + slots::AGAIN;
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_acquire(&ctx, argument::<1>(&ctx), argument::<2>(&ctx), slot) }
}

/// As [`acquired`], `(mm, memcg_path, write, success)`.
#[btf_tracepoint(function = "mmap_lock_acquire_returned")]
fn acquired_memcg(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_acquire(&ctx, argument::<2>(&ctx), argument::<3>(&ctx), slots::ACQUIRED) }
}

/// A reader that was let in cannot find the writer's bit set, unless it is the writer that becomes
/// one. A reader that was not (a page fault only tries) finds the bit of somebody else.
#[inline(always)]
unsafe fn on_acquire(ctx: &BtfTracePointContext, write: u64, success: u64, slot: u32) -> i32 {
    if write & 255 == 0 && success & 255 != 0 {
        // SAFETY: as the callers say.
        unsafe {
            let mm = mm(ctx);
            if is_write_locked(mm) {
                ended(mm, flags::DOWNGRADE, slot);
            }
        }
    }
    0
}

/// The kernel chose a place for a mapping.
#[btf_tracepoint(function = "vm_unmapped_area")]
fn unmapped_area(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_unmapped_area(&ctx) }
}

/// The second copy, as [`released_again`].
#[btf_tracepoint(function = "vm_unmapped_area")]
fn unmapped_area_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_unmapped_area(&ctx) }
}

#[inline(always)]
unsafe fn on_unmapped_area(ctx: &BtfTracePointContext) -> i32 {
    // SAFETY: a trusted task; the arguments of this tracepoint.
    unsafe {
        let Some(state) = space(pointer(current(), config!(task_mm))) else { return 0 };
        let address = argument::<0>(ctx);
        if address & (PAGE - 1) == 0 {
            let info = ctx.as_ptr().cast::<*const u8>().add(1).read_volatile();
            (*state).unmapped = address;
            (*state).unmapped_len = word(info, config!(unmapped_length));
        }
    }
    0
}

/// Addresses that a section may have changed; empty where `lo` is above `hi`.
#[derive(Clone, Copy)]
struct Extent {
    lo: u64,
    hi: u64,
}

impl Extent {
    const NOTHING: Self = Self { lo: 1, hi: 0 };

    #[inline(always)]
    fn pages(start: u64, len: u64) -> Self {
        let lo = start & !(PAGE - 1);
        let end = start.saturating_add(len).saturating_add(PAGE - 1) & !(PAGE - 1);
        Self { lo, hi: if end < lo { u64::MAX } else { end } }
    }
}

/// What the thread was asked to do.
#[derive(Clone, Copy)]
struct Call {
    nr: i32,
    class: u8,
    flags: u32,
    args: [u64; 5],
    sp: u64,
}

/// Reads the thread's system call from its saved registers.
#[inline(always)]
unsafe fn call(task: *const u8, mm: *const u8) -> Call {
    let mut call = Call { nr: -1, class: class::NONE, flags: 0, args: [0; 5], sp: 0 };
    // SAFETY: a trusted task.
    unsafe {
        if is_kernel_thread(task) || word(task, config!(task_mm)) != mm as u64 {
            call.flags = flags::REMOTE;
            if is_kernel_thread(task) {
                return call;
            }
        }
        let regs: *const u8 = bpf_task_pt_regs(task.cast_mut().cast()) as *const u8;
        call.nr = word(regs, config!(regs_nr)) as i32;
        call.sp = word(regs, config!(regs_sp));
        let compat = is_compat(task);
        call.class = class_of(call.nr, compat);
        if call.flags & flags::REMOTE != 0 && call.class != class::EXEC {
            call.class = class::NONE;
        }
        if compat {
            call.flags |= flags::COMPAT;
            call.args = [
                word(regs, config!(compat_a0)) & 0xffff_ffff,
                word(regs, config!(compat_a1)) & 0xffff_ffff,
                word(regs, config!(compat_a2)) & 0xffff_ffff,
                word(regs, config!(compat_a3)) & 0xffff_ffff,
                word(regs, config!(compat_a4)) & 0xffff_ffff,
            ];
        } else {
            call.args = [
                word(regs, config!(regs_a0)),
                word(regs, config!(regs_a1)),
                word(regs, config!(regs_a2)),
                word(regs, config!(regs_a3)),
                word(regs, config!(regs_a4)),
            ];
        }
    }
    call
}

/// The place that the kernel chose, or else the one that was asked for.
#[inline(always)]
fn chosen(state: &SpaceState, hint: u64, len: u64) -> Extent {
    if state.unmapped != 0 {
        Extent::pages(state.unmapped, state.unmapped_len)
    } else if hint < LOWEST {
        // Rounded up to `vm.mmap_min_addr` (`round_hint_to_min` of `mm/mmap.c`).
        Extent { lo: 0, hi: Extent::pages(LOWEST, len).hi }
    } else {
        Extent::pages(hint.saturating_add(PAGE - 1), len)
    }
}

/// Where a call can have changed something: a range, a second one, and further flags.
#[inline(always)]
unsafe fn extents(call: &Call, state: &SpaceState, mm: *const u8) -> (Extent, Extent, u32) {
    let a = &call.args;
    let none = Extent::NOTHING;
    match call.class {
        class::RANGE => (Extent::pages(a[0], a[1]), none, 0),
        class::MMAP => {
            let at = if a[3] & MAP_ANY_FIXED != 0 {
                Extent::pages(a[0], a[1])
            } else {
                chosen(state, a[0], a[1])
            };
            (at, none, 0)
        }
        class::BRK => {
            // SAFETY: as the caller says.
            let (start, brk) =
                unsafe { (word(mm, config!(mm_start_brk)), word(mm, config!(mm_brk))) };
            let before = if state.brk == 0 { start } else { state.brk };
            let (lo, hi) = if before < brk { (before, brk) } else { (brk, before) };
            (Extent::pages(lo, hi - lo), none, 0)
        }
        class::MREMAP => {
            let len = if a[1] > a[2] { a[1] } else { a[2] };
            let to = if a[3] & MREMAP_FIXED != 0 {
                Extent::pages(a[4], a[2])
            } else if state.unmapped != 0 || a[3] & MREMAP_DONTUNMAP != 0 {
                // With that flag and no other the new address is a hint.
                chosen(state, a[4], a[2])
            } else {
                none
            };
            (Extent::pages(a[0], len), to, 0)
        }
        class::SHMAT => (chosen(state, a[1], PAGE), none, 0),
        class::PLACED if state.unmapped != 0 => (chosen(state, 0, 0), none, 0),
        // The gap that it leaves is seen whole; a segment that was cut before shows in the counters.
        class::SHMDT => (Extent::pages(a[0], 1), none, flags::EXTENT_UNKNOWN),
        class::IPC if a[0] & 0xffff == IPC_SHMAT => {
            (chosen(state, a[4], PAGE), none, flags::EXTENT_UNKNOWN)
        }
        class::IPC if a[0] & 0xffff == IPC_SHMDT => {
            (Extent::pages(a[4], 1), none, flags::EXTENT_UNKNOWN)
        }
        class::UNKNOWN if state.unmapped != 0 => (chosen(state, 0, 0), none, flags::EXTENT_UNKNOWN),
        class::FORK => (none, none, 0),
        class::PRCTL if a[0] == PR_SET_VMA => (Extent::pages(a[2], a[3]), none, 0),
        class::PRCTL => (none, none, 0),
        _ => {
            // A stack that grows is the one that the thread stands on, most often.
            let at = if call.sp == 0 { none } else { Extent::pages(call.sp, 1) };
            (at, none, flags::EXTENT_UNKNOWN)
        }
    }
}

/// Says what the section leaves behind.
#[inline(always)]
unsafe fn ended(mm: *const u8, how: u32, slot: u32) {
    // SAFETY: as the caller says.
    let Some(state) = (unsafe { space(mm) }) else { return };
    // SAFETY: the entry of this address space; its write lock is held, so nobody else is here.
    let state = unsafe { &mut *state };
    // SAFETY: as the caller says.
    let seq = unsafe { lock_seq(mm) };
    let version = state.version + sections(state, seq, 1);
    if version == state.version {
        // The first copy was here.
        return;
    }
    let task = current();
    // SAFETY: trusted pointers.
    let (call, (first, second, more)) = unsafe {
        let call = call(task, mm);
        (call, extents(&call, state, mm))
    };
    let flags = how | call.flags | more;
    // SAFETY: trusted pointers.
    unsafe {
        if second.lo <= second.hi {
            report(mm, state, &call, first, version, flags | flags::MORE, slot);
            report(mm, state, &call, second, version, flags, slot);
        } else {
            report(mm, state, &call, first, version, flags, slot);
        }
        state.brk = word(mm, config!(mm_brk));
    }
    state.unmapped = 0;
    state.seq = seq;
    // Last of all: whoever sees this version finds its record in the ring.
    // SAFETY: a field of the entry.
    unsafe { (&raw mut state.version).write_volatile(version) };
    // Not beside a downgrade, where `total_vm` is yet to fall.
    if how & flags::DOWNGRADE == 0 && is_asked_for(mm) {
        // SAFETY: a trusted pointer.
        unsafe { dump(mm, flags::ASKED, slot) };
    }
}

/// Whether the whole address space is to be told: once.
#[inline(always)]
fn is_asked_for(mm: *const u8) -> bool {
    let Some(asked) = SHARED.get_ptr_mut(shared::ASKED) else { return false };
    // SAFETY: a slot of the array, which userspace fills only when it finds nothing in it, or nobody
    // comes for it.
    unsafe {
        let found = asked.read_volatile() == mm as u64;
        if found {
            asked.write_volatile(0);
        }
        found
    }
}

/// Sends one range of a section.
#[inline(always)]
unsafe fn report(
    mm: *const u8,
    state: &mut SpaceState,
    call: &Call,
    at: Extent,
    version: u64,
    flags: u32,
    slot: u32,
) {
    let mut flags = flags;
    let (mut count, mut lo, mut hi) = (0, 0, 0);
    if at.lo <= at.hi {
        if config!(reader) == Reader::None as u32 {
            flags |= flags::UNREAD;
            (lo, hi) = (at.lo, at.hi);
        } else {
            // SAFETY: a trusted pointer.
            let root = unsafe { word(mm, config!(mm_root)) };
            let Some(scan) = maple::scan(slot, root, at.lo.saturating_sub(1), at.hi) else {
                return;
            };
            if scan.truncated != 0 {
                flags |= flags::TRUNCATED;
            }
            (count, lo, hi) = (scan.count as u32, scan.lo, scan.cursor);
        }
    }
    let told = Told { lo, hi, count, nr: call.nr, class: call.class, version };
    // SAFETY: as the caller says.
    unsafe { finish(mm, &told, flags, state, slot) };
}

/// What a record says beside what the address space says of itself.
struct Told {
    version: u64,
    lo: u64,
    hi: u64,
    count: u32,
    nr: i32,
    class: u8,
}

/// Puts the heads before the mappings in the scratch and sends it all.
#[inline(always)]
unsafe fn finish(mm: *const u8, told: &Told, flags: u32, state: &mut SpaceState, slot: u32) {
    let Some(scratch) = SCRATCH.get_ptr_mut(slot) else { return };
    let mut count = u64::from(told.count);
    if count > SECTION_VMAS as u64 {
        count = SECTION_VMAS as u64;
    }
    // SAFETY: this program's scratch begins with room for both heads; trusted pointers.
    unsafe {
        let at = scratch.cast::<u8>();
        emit::head(at.cast(), kinds::SECTION, flags, state.space);
        let section = at.add(size_of::<Header>()).cast::<Section>();
        (&raw mut (*section).version).write(told.version);
        (&raw mut (*section).lo).write(told.lo);
        (&raw mut (*section).hi).write(told.hi);
        (&raw mut (*section).total_vm).write(word(mm, config!(mm_total_vm)));
        (&raw mut (*section).brk).write(word(mm, config!(mm_brk)));
        (&raw mut (*section).lost).write(state.lost);
        (&raw mut (*section).map_count).write(half(mm, config!(mm_map_count)));
        (&raw mut (*section).nr).write(told.nr);
        (&raw mut (*section).count).write(told.count);
        (&raw mut (*section).class).write(u32::from(told.class));
        let len = (size_of::<Header>() + size_of::<Section>()) as u64 + count * VMA_LEN as u64;
        emit::send(at, len, Some(state));
    }
}

/// What [`dump`] carries from one record to the next.
#[repr(C)]
struct Dump {
    mm: *const u8,
    root: u64,
    cursor: u64,
    flags: u32,
    slot: u32,
}

unsafe extern "C" fn dump_chunk(_: u32, dump: *mut Dump) -> i64 {
    // SAFETY: the caller's, on its stack.
    let dump = unsafe { &mut *dump };
    // SAFETY: a trusted pointer.
    let Some(state) = (unsafe { space(dump.mm) }) else { return 1 };
    // SAFETY: the entry of this address space.
    let state = unsafe { &mut *state };
    let Some(scan) = maple::scan(dump.slot, dump.root, dump.cursor, u64::MAX) else { return 1 };
    let mut flags = dump.flags;
    if scan.truncated != 0 {
        flags |= flags::MORE;
    }
    let told = Told {
        version: state.version,
        lo: dump.cursor,
        hi: scan.cursor,
        count: scan.count as u32,
        nr: -1,
        class: class::NONE,
    };
    dump.cursor = scan.cursor;
    // SAFETY: a trusted pointer.
    unsafe { finish(dump.mm, &told, flags, state, dump.slot) };
    i64::from(scan.truncated == 0)
}

/// Sends the whole state of an address space: one that nobody else uses yet, or whose write lock is
/// held.
///
/// # Safety
/// `mm` is a pointer with BTF type `mm_struct`.
#[inline(always)]
pub(super) unsafe fn dump(mm: *const u8, flags: u32, slot: u32) {
    // SAFETY: as the caller says.
    let root = unsafe { word(mm, config!(mm_root)) };
    let mut dump = Dump { mm, root, cursor: 0, flags, slot };
    // SAFETY: the callback has the helper's form and the dump outlives the call.
    unsafe {
        bpf_loop(2048, dump_chunk as *mut c_void, (&raw mut dump).cast::<c_void>(), 0);
    }
}
