//! Address spaces and processes begin and end: exec, fork, `exit_mmap`, exit.

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::btf_tracepoint,
    programs::BtfTracePointContext,
};
use pmap_ebpf::{Exit, Header, Space, SpaceState, flags, kinds};

use super::{
    emit,
    kernel::{config, current, half, numbers, pointer, word},
    maps::{GROUPS, SPACES, add_space, lock_seq, slots, space},
    section,
};

#[repr(C)]
struct SpaceRecord {
    head: Header,
    space: Space,
}

#[repr(C)]
struct ExitRecord {
    head: Header,
    exit: Exit,
}

/// A number that no other address space has: the time in ns, then the CPU.
#[inline(always)]
pub(super) fn next_space() -> u64 {
    // SAFETY: these take nothing.
    unsafe { (bpf_ktime_get_ns() << 10) | (u64::from(bpf_get_smp_processor_id()) & 1023) }
}

/// Says that an address space begins, or, with a `key` of zero, a process in one that is there.
#[inline(always)]
unsafe fn announce(space: Space, id: u64, flags: u32, state: Option<&mut SpaceState>) {
    let mut record = SpaceRecord { head: Header::EMPTY, space };
    // SAFETY: a whole record.
    unsafe {
        emit::head(&raw mut record.head, kinds::SPACE, flags, id);
        emit::send((&raw const record).cast(), size_of::<SpaceRecord>() as u64, state);
    }
}

/// Begins to follow `mm`: says so, then sends its whole state.
#[inline(always)]
unsafe fn begin(task: *const u8, mm: *const u8, parent: u32, flags: u32, slot: u32) {
    let id = next_space();
    // SAFETY: trusted pointers; the entry of this address space.
    unsafe {
        let state = SpaceState { space: id, seq: lock_seq(mm), ..SpaceState::default() };
        let Some(kept) = add_space(mm, &state) else { return };
        let space = Space {
            owner: numbers(task).0,
            parent,
            start_brk: word(mm, config!(mm_start_brk)),
            start_stack: word(mm, config!(mm_start_stack)),
            key: mm as u64,
        };
        announce(space, id, flags, Some(&mut *kept));
        section::dump(mm, flags | flags::INITIAL, slot);
    }
}

/// `sched_process_exec(task, old_pid, bprm)`: the new image is in place and has one thread.
#[btf_tracepoint(function = "sched_process_exec")]
fn exec(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_exec(&ctx, slots::EXEC) }
}

/// The second copy, for what the first did not run for: see [`super::maps::sections`].
#[btf_tracepoint(function = "sched_process_exec")]
fn exec_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_exec(&ctx, slots::EXEC + slots::AGAIN) }
}

#[inline(always)]
unsafe fn on_exec(ctx: &BtfTracePointContext, slot: u32) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe {
        let task = ctx.as_ptr().cast::<*const u8>().read_volatile();
        let group = half(task, config!(task_tgid));
        if GROUPS.get(&group).is_none() {
            return 0;
        }
        let mm = pointer(task, config!(task_mm));
        // An older entry is one of an address space that ended unseen.
        if slot >= slots::AGAIN && space(mm).is_some_and(|state| (*state).version == 0) {
            return 0;
        }
        begin(task, mm, 0, 0, slot);
    }
    0
}

/// `sched_process_fork(parent, child)`: the child has not run yet.
#[btf_tracepoint(function = "sched_process_fork")]
fn fork(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_fork(&ctx, slots::FORK) }
}

/// The second copy, as [`exec_again`].
#[btf_tracepoint(function = "sched_process_fork")]
fn fork_again(ctx: BtfTracePointContext) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe { on_fork(&ctx, slots::FORK + slots::AGAIN) }
}

#[inline(always)]
unsafe fn on_fork(ctx: &BtfTracePointContext, slot: u32) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe {
        let parent = ctx.as_ptr().cast::<*const u8>().read_volatile();
        let group = half(parent, config!(task_tgid));
        let Some(&how) = GROUPS.get(&group) else { return 0 };
        if how & 1 == 0 {
            return 0;
        }
        let child = ctx.as_ptr().cast::<*const u8>().add(1).read_volatile();
        let child_group = half(child, config!(task_tgid));
        if child_group == group || slot >= slots::AGAIN && GROUPS.get(&child_group).is_some() {
            return 0;
        }
        let _ = GROUPS.insert(&child_group, &how, 0);
        let mm = pointer(child, config!(task_mm));
        if mm as u64 != word(parent, config!(task_mm)) && !mm.is_null() {
            begin(child, mm, numbers(parent).0, flags::FORK, slot);
        } else {
            // vfork, or a clone that shares: no new address space, but a process that may exec.
            let space = Space {
                owner: numbers(child).0,
                parent: numbers(parent).0,
                start_brk: 0,
                start_stack: 0,
                key: 0,
            };
            announce(space, 0, flags::FORK, None);
        }
    }
    0
}

/// `exit_mmap(mm)`: its last user is gone.
#[btf_tracepoint(function = "exit_mmap")]
fn exit_mmap(ctx: BtfTracePointContext) -> i32 {
    on_exit_mmap(&ctx)
}

/// The second copy, as [`exec_again`].
#[btf_tracepoint(function = "exit_mmap")]
fn exit_mmap_again(ctx: BtfTracePointContext) -> i32 {
    on_exit_mmap(&ctx)
}

#[inline(always)]
fn on_exit_mmap(ctx: &BtfTracePointContext) -> i32 {
    // SAFETY: the argument of this tracepoint.
    let mm = unsafe { ctx.as_ptr().cast::<*const u8>().read_volatile() };
    // SAFETY: a trusted pointer.
    let Some(state) = (unsafe { space(mm) }) else { return 0 };
    // SAFETY: the entry of this address space.
    let state = unsafe { &mut *state };
    let mut head = Header::EMPTY;
    // SAFETY: a whole record.
    unsafe {
        emit::head(&raw mut head, kinds::SPACE_END, 0, state.space);
        emit::send((&raw const head).cast(), size_of::<Header>() as u64, Some(state));
    }
    let _ = SPACES.remove(&(mm as u64));
    0
}

/// `sched_process_exit(task)`: of interest when it is the last thread of its group.
#[btf_tracepoint(function = "sched_process_exit")]
fn exit(ctx: BtfTracePointContext) -> i32 {
    on_exit(&ctx)
}

/// The second copy, as [`exec_again`].
#[btf_tracepoint(function = "sched_process_exit")]
fn exit_again(ctx: BtfTracePointContext) -> i32 {
    on_exit(&ctx)
}

#[inline(always)]
fn on_exit(ctx: &BtfTracePointContext) -> i32 {
    // SAFETY: the argument of this tracepoint.
    unsafe {
        let task = ctx.as_ptr().cast::<*const u8>().read_volatile();
        let group = half(task, config!(task_tgid));
        if GROUPS.get(&group).is_none() {
            return 0;
        }
        let signal = pointer(task, config!(task_signal));
        if half(signal, config!(signal_live)) != 0 {
            return 0;
        }
        let group_code = half(signal, config!(signal_group_exit_code));
        let status = if group_code != 0 { group_code } else { half(task, config!(task_exit_code)) };
        let space = match space(pointer(current(), config!(task_mm))) {
            Some(state) => (*state).space,
            None => 0,
        };
        let mut record = ExitRecord { head: Header::EMPTY, exit: Exit { status, reserved: 0 } };
        emit::head(&raw mut record.head, kinds::EXIT, 0, space);
        emit::send((&raw const record).cast(), size_of::<ExitRecord>() as u64, None);
        let _ = GROUPS.remove(&group);
    }
    0
}
