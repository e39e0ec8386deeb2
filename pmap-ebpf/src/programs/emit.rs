//! Fills the ring buffer, and counts what found no room in it.

use core::ffi::c_void;

use aya_ebpf::{
    bindings::{BPF_RB_FORCE_WAKEUP, BPF_RB_NO_WAKEUP},
    helpers::generated::{bpf_ktime_get_ns, bpf_ringbuf_output},
};
use pmap_ebpf::{
    ABI, Header, NAME_LEN, NAME_WORDS, SECTION_VMAS, SpaceState, kinds, links, vma_kinds,
};

use super::{
    kernel::{config, current, numbers, word, word_at},
    maps::{NAME_SCRATCH, NAMED, RECORDS, SCRATCH, SHARED, shared},
};

/// Writes a record's head for the current thread where it is sent from: the stack of all nested
/// functions together has 512 bytes.
///
/// # Safety
/// `at` has room for a [`Header`].
#[inline(always)]
pub(super) unsafe fn head(at: *mut Header, kind: u16, flags: u32, space: u64) {
    // SAFETY: a trusted task, whose `comm` has sixteen bytes; room, as the caller says.
    unsafe {
        short_head(at, kind, flags, space);
        (&raw mut (*at).time).write(bpf_ktime_get_ns());
        let task = current();
        let comm = (&raw mut (*at).comm).cast::<u64>();
        comm.write(word(task, config!(task_comm)));
        comm.add(1).write(word(task, config!(task_comm) + 8));
    }
}

/// As [`head`], without the time and the `comm`.
///
/// # Safety
/// As for [`head`].
#[inline(always)]
pub(super) unsafe fn short_head(at: *mut Header, kind: u16, flags: u32, space: u64) {
    // SAFETY: a trusted task; room, as the caller says.
    unsafe {
        let (pid, tid) = numbers(current());
        (&raw mut (*at).kind).write(kind);
        (&raw mut (*at).abi).write(ABI);
        (&raw mut (*at).flags).write(flags);
        // Volatile, or they become a loop over bytes.
        (&raw mut (*at).time).write_volatile(0);
        (&raw mut (*at).space).write(space);
        (&raw mut (*at).pid).write(pid);
        (&raw mut (*at).tid).write(tid);
        (&raw mut (*at).comm).cast::<u64>().write_volatile(0);
        (&raw mut (*at).comm).cast::<u64>().add(1).write_volatile(0);
    }
}

/// Sends a record. Where there is no room, counts it in `state`, or in the shared counter.
///
/// # Safety
/// `record` points to `len` readable bytes that start with a [`Header`].
#[inline(always)]
pub(super) unsafe fn send(record: *const u8, len: u64, state: Option<&mut SpaceState>) -> bool {
    let mut how = u64::from(BPF_RB_NO_WAKEUP);
    if let Some(asleep) = SHARED.get_ptr_mut(shared::ASLEEP) {
        // SAFETY: a slot of the array; a race costs one wake-up more.
        unsafe {
            if asleep.read_volatile() != 0 {
                asleep.write_volatile(0);
                how = u64::from(BPF_RB_FORCE_WAKEUP);
            }
        }
    }
    // SAFETY: the caller vouches for the record.
    let sent = unsafe {
        bpf_ringbuf_output(
            (&raw const RECORDS).cast_mut().cast::<c_void>(),
            record.cast_mut().cast(),
            len,
            how,
        )
    };
    if sent == 0 {
        return true;
    }
    match state {
        Some(state) => state.lost += 1,
        None => {
            if let Some(lost) = SHARED.get_ptr_mut(shared::LOST) {
                // SAFETY: a slot of the array; the count may miss one when two CPUs lose at once,
                // but it is not zero then.
                unsafe { *lost += 1 };
            }
        }
    }
    false
}

/// Sends the name behind a mapping in the scratch: a file's once, a name given by `prctl` each
/// time, since its identity may soon be another's. A function of its own for the verifier.
/// `place` is that of the mapping, `slot` the program's.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn send_name(place: u32, slot: u32) -> u32 {
    // A mask, not a check: the compiler may forget which register it checked.
    let place = place as usize & (SECTION_VMAS - 1);
    let (Some(vmas), Some(scratch)) = (SCRATCH.get_ptr(slot), NAME_SCRATCH.get_ptr_mut(slot))
    else {
        return 0;
    };
    // SAFETY: this program's scratches, and a place inside them.
    let (vma, scratch) = unsafe { (&(*vmas).vmas[place], &mut *scratch) };
    let source = if vma.kind == vma_kinds::FILE {
        let key = [vma.id, (vma.inode << 32) ^ u64::from(vma.generation)];
        // SAFETY: the value is not used.
        if unsafe { NAMED.get(&key) }.is_some() {
            return 0;
        }
        let _ = NAMED.insert(&key, &1, 0);
        // As `d_unlinked` of `include/linux/dcache.h`, but for what has no folder at all.
        let unhashed = word_at(vma.id + u64::from(config!(dentry_hash))) == 0;
        let is_root = word_at(vma.id + u64::from(config!(dentry_parent))) == vma.id;
        scratch.name.link = if !unhashed {
            links::LINKED
        } else if is_root {
            links::PSEUDO
        } else {
            links::UNLINKED
        };
        word_at(vma.id + u64::from(config!(dentry_name)))
    } else {
        scratch.name.link = links::LINKED;
        vma.id + u64::from(config!(anon_name_text))
    };
    // SAFETY: the scratch begins with room for a header.
    unsafe { head((&raw mut scratch.head).cast(), kinds::NAME, 0, 0) };
    scratch.name.id = vma.id;
    scratch.name.inode = vma.inode;
    scratch.name.dev = vma.dev;
    scratch.name.generation = vma.generation;
    scratch.name.kind = vma.kind;
    let text = (&raw mut scratch.name.text).cast::<u64>();
    let mut i = 0;
    while i < NAME_WORDS {
        let word = word_at(source + i as u64 * 8);
        // SAFETY: inside the text; the last word may read past a name's end, where whatever
        // stands is cut off by the NUL before it.
        unsafe { text.add(i).write_volatile(word) };
        i += 1;
    }
    let len = (size_of::<Header>() + NAME_LEN) as u64;
    // SAFETY: the scratch is a whole record.
    unsafe { send((&raw const *scratch).cast(), len, None) };
    1
}
