//! A watched system call returns: its arguments still stand in the saved registers.
//!
//! Either its function is watched, or the tracepoint that every call of the machine passes.

use core::mem::MaybeUninit;

use aya_ebpf::{
    EbpfContext as _,
    helpers::generated::bpf_task_pt_regs,
    macros::{btf_tracepoint, kretprobe},
    programs::{BtfTracePointContext, RetProbeContext},
};
use pmap_ebpf::{Header, SyscallResult, class, flags, kinds};

use super::{
    emit,
    kernel::{class_of, config, current, half, is_compat, pointer, word},
    maps::{TOLD, space},
};

/// A record on the stack.
#[repr(C)]
struct Record {
    head: Header,
    result: SyscallResult,
}

/// Which of the programs is at work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The only one.
    Only,
    /// The only one, or the first of two.
    First,
    /// The second copy, for what the first did not run for: see [`super::maps::sections`].
    Again,
}

/// `sys_exit(regs, ret)`.
#[btf_tracepoint(function = "sys_exit")]
fn sys_exit(ctx: BtfTracePointContext) -> i32 {
    on_exit(&ctx, Turn::First)
}

/// See [`Turn::Again`].
#[btf_tracepoint(function = "sys_exit")]
fn sys_exit_again(ctx: BtfTracePointContext) -> i32 {
    on_exit(&ctx, Turn::Again)
}

#[inline(always)]
fn on_exit(ctx: &BtfTracePointContext, turn: Turn) -> i32 {
    // SAFETY: the arguments of this tracepoint.
    unsafe {
        let regs = ctx.as_ptr().cast::<*const u8>().read_volatile();
        let ret = ctx.as_ptr().cast::<i64>().add(1).read_volatile();
        tell(regs, ret, turn)
    }
}

/// The function of a watched call returns: on kernels where one link watches them all.
#[kretprobe]
fn returned(ctx: RetProbeContext) -> u32 {
    // SAFETY: the registers that a trusted task, the current one, entered the kernel with.
    unsafe {
        let regs: *const u8 = bpf_task_pt_regs(current().cast_mut().cast()) as *const u8;
        tell(regs, ctx.ret(), Turn::Only) as u32
    }
}

/// # Safety
/// `regs` is a pointer with BTF type `pt_regs`, to those that the thread entered the kernel with.
#[inline(always)]
unsafe fn tell(regs: *const u8, ret: i64, turn: Turn) -> i32 {
    // SAFETY: as the caller says; a trusted task.
    unsafe {
        let nr = word(regs, config!(regs_nr)) as i32;
        // Most calls are watched in neither form: no more is asked of those.
        if class_of(nr, false) | class_of(nr, true) == class::NONE {
            return 0;
        }
        let task = current();
        let compat = is_compat(task);
        let class = class_of(nr, compat);
        if class == class::NONE {
            return 0;
        }
        let mm = pointer(task, config!(task_mm));
        let Some(state) = space(mm) else { return 0 };
        let state = &mut *state;
        if turn != Turn::Only && config!(twice) != 0 {
            let tid = half(task, config!(task_pid));
            if turn == Turn::First {
                let _ = TOLD.insert(&tid, &1, 0);
            } else if TOLD.get(&tid).is_some() {
                let _ = TOLD.remove(&tid);
                return 0;
            }
        }
        if class == class::PRCTL {
            // `PR_SET_MM` moves the heap under the read lock alone.
            state.brk = word(mm, config!(mm_brk));
        }
        let (flags, args) = if compat {
            let args = [
                word(regs, config!(compat_a0)) & 0xffff_ffff,
                word(regs, config!(compat_a1)) & 0xffff_ffff,
                word(regs, config!(compat_a2)) & 0xffff_ffff,
                word(regs, config!(compat_a3)) & 0xffff_ffff,
                word(regs, config!(compat_a4)) & 0xffff_ffff,
                word(regs, config!(compat_a5)) & 0xffff_ffff,
            ];
            (flags::COMPAT, args)
        } else {
            let args = [
                word(regs, config!(regs_a0)),
                word(regs, config!(regs_a1)),
                word(regs, config!(regs_a2)),
                word(regs, config!(regs_a3)),
                word(regs, config!(regs_a4)),
                word(regs, config!(regs_a5)),
            ];
            (0, args)
        };
        // Field by field: filling it with zeros first is a loop over bytes here.
        let mut record = MaybeUninit::<Record>::uninit();
        let at = record.as_mut_ptr();
        let result = &raw mut (*at).result;
        (&raw mut (*result).ret).write(ret);
        (&raw mut (*result).args).write(args);
        (&raw mut (*result).nr).write(nr);
        (&raw mut (*result).class).write(u32::from(class));
        let head = &raw mut (*at).head;
        // A call that succeeded was told by its section; one that failed has nothing else.
        if (-4095..0).contains(&ret) {
            emit::head(head, kinds::RESULT, flags, state.space);
        } else {
            emit::short_head(head, kinds::RESULT, flags, state.space);
        }
        emit::send(at.cast(), size_of::<Record>() as u64, Some(state));
    }
    0
}
