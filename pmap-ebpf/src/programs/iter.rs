//! Writes every mapping of a process, each with the version at which it was so.
//!
//! `iter/task_vma` holds the read lock while it calls the program, so no write section is open and
//! the version stands still for that mapping (`kernel/bpf/task_iter.c`).

use aya_ebpf::{cty::c_void, helpers::generated::bpf_seq_write};
use pmap_ebpf::{ITER_LEN, IterEntry, SpaceState, Vma};

use super::{
    kernel::{config, half, numbers, pointer, vma_behind, word},
    lifetime::next_space,
    maps::{GROUPS, SHARED, add_space, lock_seq, sections, shared, space},
};

/// `struct bpf_iter__task_vma`.
#[repr(C)]
pub(super) struct Context {
    meta: *const *mut c_void,
    task: *const u8,
    vma: *const u8,
}

/// One mapping of the task that the link names.
#[unsafe(no_mangle)]
#[unsafe(link_section = "iter/task_vma")]
unsafe extern "C" fn task_vma(ctx: *mut Context) -> i32 {
    // SAFETY: the kernel's context; `meta` begins with the sequence file.
    unsafe {
        let task = (&raw const (*ctx).task).read_volatile();
        let vma = (&raw const (*ctx).vma).read_volatile();
        if task.is_null() || vma.is_null() {
            return 0;
        }
        let meta = (&raw const (*ctx).meta).read_volatile();
        let seq = meta.read_volatile();
        let mm = pointer(task, config!(task_mm));
        if space(mm).is_none() {
            let Some(how) = SHARED.get(shared::FOLLOW) else { return 0 };
            if *how & 1 == 0 {
                return 0;
            }
            let group = half(task, config!(task_tgid));
            let _ = GROUPS.insert(&group, &((*how >> 1) as u32 & 1), 0);
            if *how & 4 != 0 {
                return 0;
            }
            let state = SpaceState {
                space: next_space(),
                brk: word(mm, config!(mm_brk)),
                seq: lock_seq(mm),
                ..SpaceState::default()
            };
            let _ = add_space(mm, &state);
        }
        let Some(state) = space(mm) else { return 0 };
        let lock = lock_seq(mm);
        let missed = sections(&*state, lock, 0);
        if missed > 0 {
            // Sections that no program ran for: whoever looks for their records finds none.
            (*state).seq = lock;
            (*state).version += missed;
        }
        let mut entry = IterEntry {
            version: (*state).version,
            space: (*state).space,
            total_vm: word(mm, config!(mm_total_vm)),
            brk: word(mm, config!(mm_brk)),
            start_brk: word(mm, config!(mm_start_brk)),
            start_stack: word(mm, config!(mm_start_stack)),
            key: mm as u64,
            map_count: half(mm, config!(mm_map_count)),
            pid: numbers(task).0,
            vma: Vma::default(),
        };
        vma_behind(vma, &mut entry.vma);
        bpf_seq_write(seq.cast(), (&raw const entry).cast(), ITER_LEN as u32);
    }
    0
}
