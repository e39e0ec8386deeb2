//! Reads kernel structures, at the offsets that userspace found in the kernel's BTF.

use core::{mem::transmute, ptr::read_volatile};

use aya_ebpf::helpers::generated::{bpf_get_current_task_btf, bpf_probe_read_kernel};
use pmap_ebpf::{Config, LEVEL_ASKED, Reader, SYSCALL_SLOTS, Vma, vma_kinds};

/// Filled in by userspace before the load, then frozen.
#[unsafe(no_mangle)]
pub(super) static CONFIG: Config = Config::EMPTY;

/// Class of each 64-bit system call; filled in by userspace.
#[unsafe(no_mangle)]
pub(super) static CLASSES: [u8; SYSCALL_SLOTS] = [0; SYSCALL_SLOTS];

/// Class of each 32-bit system call; filled in by userspace.
#[unsafe(no_mangle)]
pub(super) static COMPAT_CLASSES: [u8; SYSCALL_SLOTS] = [0; SYSCALL_SLOTS];

/// One field of [`CONFIG`], read so that the compiler cannot fold in the zero of the object.
macro_rules! config {
    ($field:ident) => {
        $crate::programs::kernel::constant(&$crate::programs::kernel::CONFIG.$field)
    };
}
pub(super) use config;

/// See [`config`].
#[inline(always)]
pub(super) fn constant(field: &u32) -> u32 {
    // SAFETY: a reference.
    unsafe { read_volatile(field) }
}

/// Stands where the call of `bpf_rdonly_cast` belongs. aya cannot relocate a call of a kfunc, so
/// userspace turns "call helper 0x7f706d61" into "call kfunc" before the load.
const CAST_PLACEHOLDER: usize = 0x7f70_6d61;

/// `PF_KTHREAD` of `include/linux/sched.h`.
const PF_KTHREAD: u32 = 0x0020_0000;
/// `TS_COMPAT` of `arch/x86/include/asm/thread_info.h`.
const TS_COMPAT: u32 = 2;
/// `RWSEM_WRITER_LOCKED` of `kernel/locking/rwsem.c`.
const RWSEM_WRITER_LOCKED: u64 = 1;

/// Loads a word through a pointer that the verifier knows.
///
/// # Safety
/// `base` is a pointer with BTF type, and its structure has eight bytes at `offset`.
#[inline(always)]
pub(super) unsafe fn word(base: *const u8, offset: u32) -> u64 {
    // SAFETY: the verifier turns it into a load that cannot fault.
    unsafe { read_volatile(base.add(offset as usize).cast()) }
}

/// Loads half a word; see [`word`].
///
/// # Safety
/// As for [`word`], with four bytes.
#[inline(always)]
pub(super) unsafe fn half(base: *const u8, offset: u32) -> u32 {
    // SAFETY: as for `word`.
    unsafe { read_volatile(base.add(offset as usize).cast()) }
}

/// Loads a pointer, which the verifier types by the structure's field; see [`word`].
///
/// # Safety
/// As for [`word`].
#[inline(always)]
pub(super) unsafe fn pointer(base: *const u8, offset: u32) -> *const u8 {
    // SAFETY: as for `word`.
    unsafe { read_volatile(base.add(offset as usize).cast()) }
}

/// `bpf_rdonly_cast(address, vm_area_struct)`.
#[inline(always)]
unsafe fn cast(address: u64) -> *const u8 {
    // SAFETY: not a call of that helper once userspace has patched it.
    unsafe {
        let call: unsafe extern "C" fn(u64, u32) -> *const u8 = transmute(CAST_PLACEHOLDER);
        call(address, config!(word_type))
    }
}

/// Loads a word from any address; zero where nothing is mapped there, or no reader is there.
#[inline(always)]
pub(super) fn word_at(address: u64) -> u64 {
    let reader = config!(reader);
    if reader == Reader::Cast as u32 {
        // SAFETY: a load through an untrusted pointer cannot fault.
        unsafe { word(cast(address), 0) }
    } else if reader == Reader::Probe as u32 {
        probe(address)
    } else {
        0
    }
}

#[inline(always)]
fn probe(address: u64) -> u64 {
    let mut value = 0u64;
    // SAFETY: the helper checks the source and fills no more than the eight bytes.
    unsafe { bpf_probe_read_kernel((&raw mut value).cast(), 8, address as *const _) };
    value
}

/// Describes the mapping at any address, with the reader that this kernel has.
#[inline(always)]
pub(super) fn vma_at(address: u64, out: &mut Vma) {
    if config!(reader) == Reader::Cast as u32 {
        // SAFETY: an untrusted pointer to a `vm_area_struct`.
        unsafe { describe::<Direct>(cast(address), out) };
    } else {
        // SAFETY: every load of `Probed` goes through the helper.
        unsafe { describe::<Probed>(address as *const u8, out) };
    }
}

/// Describes the mapping behind a pointer that the verifier knows.
///
/// # Safety
/// `vma` is a pointer with BTF type `vm_area_struct`.
#[inline(always)]
pub(super) unsafe fn vma_behind(vma: *const u8, out: &mut Vma) {
    // SAFETY: as the caller says.
    unsafe { describe::<Direct>(vma, out) };
}

/// A way to load a field.
trait Memory {
    unsafe fn word(base: *const u8, offset: u32) -> u64;
    unsafe fn half(base: *const u8, offset: u32) -> u32;
    unsafe fn pointer(base: *const u8, offset: u32) -> *const u8;
}

/// Through pointers that the verifier knows.
struct Direct;

impl Memory for Direct {
    #[inline(always)]
    unsafe fn word(base: *const u8, offset: u32) -> u64 {
        // SAFETY: as the caller says.
        unsafe { word(base, offset) }
    }
    #[inline(always)]
    unsafe fn half(base: *const u8, offset: u32) -> u32 {
        // SAFETY: as the caller says.
        unsafe { half(base, offset) }
    }
    #[inline(always)]
    unsafe fn pointer(base: *const u8, offset: u32) -> *const u8 {
        // SAFETY: as the caller says.
        unsafe { pointer(base, offset) }
    }
}

/// Through `bpf_probe_read_kernel`.
struct Probed;

impl Memory for Probed {
    #[inline(always)]
    unsafe fn word(base: *const u8, offset: u32) -> u64 {
        probe(base as u64 + u64::from(offset))
    }
    #[inline(always)]
    unsafe fn half(base: *const u8, offset: u32) -> u32 {
        probe(base as u64 + u64::from(offset)) as u32
    }
    #[inline(always)]
    unsafe fn pointer(base: *const u8, offset: u32) -> *const u8 {
        probe(base as u64 + u64::from(offset)) as *const u8
    }
}

/// Fills in a [`Vma`] from a `vm_area_struct`.
#[inline(always)]
unsafe fn describe<M: Memory>(vma: *const u8, out: &mut Vma) {
    // SAFETY: as the caller says, for every load.
    unsafe {
        out.start = M::word(vma, config!(vma_start));
        out.end = M::word(vma, config!(vma_end));
        out.flags = M::word(vma, config!(vma_flags));
        out.pgoff = M::word(vma, config!(vma_pgoff));
        (&raw mut out.reserved).write_volatile(0);
        let named = config!(has_anon_name);
        let file = M::pointer(vma, config!(vma_file));
        if file.is_null() {
            // Volatile, or they become a loop over bytes.
            (&raw mut out.inode).write_volatile(0);
            (&raw mut out.dev).write_volatile(0);
            (&raw mut out.generation).write_volatile(0);
            (&raw mut out.id).write_volatile(0);
            out.kind = vma_kinds::ANON;
            if M::word(vma, config!(vma_ops)) != 0 {
                out.kind = vma_kinds::SPECIAL;
                out.id = M::word(vma, config!(vma_private));
            } else if named != 0 {
                let name = M::word(vma, config!(vma_anon_name));
                if name != 0 {
                    out.kind = vma_kinds::NAMED;
                    out.id = name;
                }
            }
        } else {
            let inode = M::pointer(file, config!(file_inode));
            out.inode = M::word(inode, config!(inode_ino));
            out.generation = M::half(inode, config!(inode_generation));
            out.dev = M::half(M::pointer(inode, config!(inode_sb)), config!(sb_dev));
            out.kind = vma_kinds::FILE;
            out.id = M::word(file, config!(file_dentry));
            if named == 1 {
                let name = M::word(vma, config!(vma_anon_name));
                if name != 0 {
                    out.kind = vma_kinds::NAMED_FILE;
                    out.id = name;
                }
            }
        }
    }
}

/// The current thread.
#[inline(always)]
pub(super) fn current() -> *const u8 {
    // SAFETY: takes nothing, returns a trusted pointer.
    unsafe { bpf_get_current_task_btf().cast_const().cast() }
}

/// Thread group and thread, in the numbers of the configured PID namespace; zero for a thread
/// that has no number there.
///
/// # Safety
/// `task` is a pointer with BTF type `task_struct`.
#[inline(always)]
pub(super) unsafe fn numbers(task: *const u8) -> (u32, u32) {
    // SAFETY: as the caller says.
    unsafe {
        if config!(pid_level) == 0 {
            // Fewer pointers to follow, each of which costs the verifier milliseconds.
            return (half(task, config!(task_tgid)), half(task, config!(task_pid)));
        }
        let leader = pointer(task, config!(task_group_leader));
        (number(leader), number(task))
    }
}

#[inline(always)]
unsafe fn number(task: *const u8) -> u32 {
    let level = config!(pid_level);
    // SAFETY: as the caller of `numbers` says; `numbers` has an element for each level.
    unsafe {
        let pid = pointer(task, config!(task_thread_pid));
        if level == LEVEL_ASKED {
            return half(pid, config!(pid_depth));
        }
        if half(pid, config!(pid_depth)) < level {
            return 0;
        }
        half(pid, config!(pid_numbers) + level * config!(upid_size))
    }
}

/// Whether the thread belongs to the kernel.
///
/// # Safety
/// `task` is a pointer with BTF type `task_struct`.
#[inline(always)]
pub(super) unsafe fn is_kernel_thread(task: *const u8) -> bool {
    // SAFETY: as the caller says.
    unsafe { half(task, config!(task_flags)) & PF_KTHREAD != 0 }
}

/// Whether the thread is in a 32-bit system call.
///
/// # Safety
/// `task` is a pointer with BTF type `task_struct`.
#[inline(always)]
pub(super) unsafe fn is_compat(task: *const u8) -> bool {
    // SAFETY: as the caller says.
    config!(has_compat) != 0 && unsafe { half(task, config!(task_status)) } & TS_COMPAT != 0
}

/// Whether somebody holds the lock for writing.
///
/// # Safety
/// `mm` is a pointer with BTF type `mm_struct`.
#[inline(always)]
pub(super) unsafe fn is_write_locked(mm: *const u8) -> bool {
    // SAFETY: as the caller says.
    unsafe { word(mm, config!(mm_lock_count)) & RWSEM_WRITER_LOCKED != 0 }
}

/// Class of a system call.
#[inline(always)]
pub(super) fn class_of(nr: i32, compat: bool) -> u8 {
    let slot = nr as u32 as usize;
    if slot >= SYSCALL_SLOTS {
        return 0;
    }
    let table = if compat { &raw const COMPAT_CLASSES } else { &raw const CLASSES };
    // SAFETY: inside the table, as was just checked.
    unsafe { read_volatile(table.cast::<u8>().add(slot)) }
}
