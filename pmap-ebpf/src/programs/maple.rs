//! Walks a mapping tree, as `mtree_range_walk` of `lib/maple_tree.c` does.
//!
//! Right only while nobody writes: inside a write section, or where the address space has one
//! thread and that thread is here.
//!
//! All state is in the program's scratch: the stack of all nested functions together has 512 bytes.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_loop;
use pmap_ebpf::{SECTION_VMAS, vma_kinds};

use super::{
    emit,
    kernel::{config, vma_at, word_at},
    maps::SCRATCH,
};

/// Low bits of a pointer to a node; `MAPLE_NODE_MASK`.
const NODE_MASK: u64 = 255;
/// `maple_arange_64` of `enum maple_type`; the leaves (`maple_leaf_64`) are 1.
const ARANGE_64: u64 = 3;
/// `maple_range_64`.
const RANGE_64: u64 = 2;
/// Pivots of the widest node.
const MAX_PIVOTS: u32 = 15;
/// A tree of this height holds more mappings than an address space can.
const MAX_HEIGHT: u32 = 8;

/// A way from the root to the leaf that holds an address.
#[repr(C)]
pub(super) struct Walk {
    /// The node to look into, with its type in the low bits; at first the root, at last the leaf.
    node: u64,
    /// The address to look for.
    index: u64,
    /// First address that the node stands for; at last, that the slot stands for.
    min: u64,
    /// Last address that the node stands for.
    max: u64,
    /// The slot that holds the address.
    offset: u64,
    /// The last slot in use.
    end: u64,
}

/// Mappings and gaps, one after another.
#[repr(C)]
pub(super) struct Scan {
    /// Root of the tree.
    pub(super) root: u64,
    /// The address to look at next.
    pub(super) cursor: u64,
    /// The last address to look at.
    pub(super) last: u64,
    /// The first address that was spoken for.
    pub(super) lo: u64,
    /// Mappings found.
    pub(super) count: u64,
    /// 1 where there was no room for all.
    pub(super) truncated: u64,
    /// The leaf that holds the cursor, or 0; then the last address that the leaf stands for, the
    /// slot of the cursor, and the last slot in use.
    leaf: u64,
    leaf_max: u64,
    offset: u64,
    end: u64,
}

/// One level down.
unsafe extern "C" fn descend(_: u32, slot: *mut u32) -> i64 {
    // SAFETY: the caller's, on its stack.
    let Some(scratch) = SCRATCH.get_ptr_mut(unsafe { *slot }) else { return 1 };
    // SAFETY: this program's scratch.
    let walk = unsafe { &mut (*scratch).walk };
    let kind = (walk.node >> 3) & 15;
    let node = walk.node & !NODE_MASK;
    let (pivots, slots, end_at, last_pivot) = if kind == ARANGE_64 {
        (config!(arange_pivot), config!(arange_slot), config!(arange_end), 0)
    } else {
        let last = config!(range_slots) - 2;
        (config!(range_pivot), config!(range_slot), config!(range_end), last)
    };
    let pivots = node + u64::from(pivots);
    // As `ma_data_end`.
    let mut end = (word_at(node + u64::from(end_at)) & 255) as u32;
    if kind != ARANGE_64 {
        let pivot = word_at(pivots + u64::from(last_pivot) * 8);
        if pivot == walk.max {
            end = last_pivot;
        } else if pivot != 0 {
            end = last_pivot + 1;
        }
    }
    let mut offset = 0;
    let mut max = walk.max;
    let mut min = walk.min;
    while offset < MAX_PIVOTS {
        if offset >= end {
            break;
        }
        let pivot = word_at(pivots + u64::from(offset) * 8);
        if pivot >= walk.index {
            max = pivot;
            break;
        }
        min = pivot + 1;
        offset += 1;
    }
    walk.min = min;
    if kind < RANGE_64 {
        walk.offset = u64::from(offset);
        walk.end = u64::from(end);
        return 1;
    }
    walk.max = max;
    walk.node = word_at(node + u64::from(slots) + u64::from(offset) * 8);
    0
}

/// Goes from the root to a leaf. A function of its own for the verifier, which looks at it once
/// and not for every caller.
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn find(slot: u32) -> u32 {
    let mut slot = slot;
    // SAFETY: the callback has the helper's form.
    unsafe {
        bpf_loop(MAX_HEIGHT, descend as *mut c_void, (&raw mut slot).cast::<c_void>(), 0) as u32
    }
}

/// One mapping or gap further: in the same leaf, or in the next.
unsafe extern "C" fn step(_: u32, slot: *mut u32) -> i64 {
    // SAFETY: the caller's, on its stack.
    let slot = unsafe { *slot };
    let Some(scratch) = SCRATCH.get_ptr_mut(slot) else { return 1 };
    // SAFETY: this program's scratch.
    let (scan, walk) = unsafe { (&mut (*scratch).scan, &mut (*scratch).walk) };
    if scan.leaf == 0 {
        walk.node = scan.root;
        walk.index = scan.cursor;
        walk.min = 0;
        walk.max = u64::MAX;
        find(slot);
        scan.leaf = walk.node & !NODE_MASK;
        scan.leaf_max = walk.max;
        scan.offset = walk.offset;
        scan.end = walk.end;
        if scan.lo == u64::MAX {
            scan.lo = walk.min;
        }
    }
    let entry = word_at(scan.leaf + u64::from(config!(range_slot)) + scan.offset * 8);
    // Pointers to mappings are aligned; `XA_ZERO_ENTRY` and the like are not.
    if entry != 0 && entry & 3 == 0 {
        let place = scan.count as usize;
        if place >= SECTION_VMAS {
            scan.truncated = 1;
            return 1;
        }
        // SAFETY: a place that was just checked.
        let vma = unsafe { &mut (*scratch).vmas[place] };
        vma_at(entry, vma);
        if vma.kind != vma_kinds::ANON && vma.kind != vma_kinds::SPECIAL {
            emit::send_name(place as u32, slot);
        }
        scan.count += 1;
    }
    let mut max = scan.leaf_max;
    if scan.offset < scan.end {
        max = word_at(scan.leaf + u64::from(config!(range_pivot)) + scan.offset * 8);
        scan.offset += 1;
    } else {
        scan.leaf = 0;
    }
    scan.cursor = max.saturating_add(1);
    i64::from(max >= scan.last || scan.cursor == u64::MAX)
}

/// Goes through mappings and gaps; a function of its own, as [`find`].
#[unsafe(no_mangle)]
#[inline(never)]
pub(super) extern "C" fn scan_all(slot: u32) -> u32 {
    let mut slot = slot;
    let steps = 4 * SECTION_VMAS as u32;
    // SAFETY: as in `find`.
    unsafe { bpf_loop(steps, step as *mut c_void, (&raw mut slot).cast::<c_void>(), 0) as u32 }
}

/// Reads the mappings and gaps from the one that holds `first` to the one that holds `last` into
/// a program's scratch. `None` never: the verifier does not know that there is a scratch.
#[inline(always)]
pub(super) fn scan(slot: u32, root: u64, first: u64, last: u64) -> Option<&'static Scan> {
    let scratch = SCRATCH.get_ptr_mut(slot)?;
    // SAFETY: this program's scratch.
    let scan = unsafe { &mut (*scratch).scan };
    scan.root = root;
    scan.cursor = first;
    scan.last = last;
    scan.lo = u64::MAX;
    // SAFETY: references. Volatile, or they become a loop over bytes.
    unsafe {
        (&raw mut scan.count).write_volatile(0);
        (&raw mut scan.truncated).write_volatile(0);
        (&raw mut scan.leaf).write_volatile(0);
    }
    scan_all(slot);
    if scan.cursor <= last && scan.cursor != u64::MAX {
        scan.truncated = 1;
    }
    Some(scan)
}
