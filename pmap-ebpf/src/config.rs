//! Facts about the running kernel, read from its BTF by userspace and frozen before the load, so
//! that the verifier sees constants.

/// How the programs read kernel memory that no BTF-typed pointer leads to (maple tree nodes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reader {
    /// Not at all: a write section says only that it happened, and userspace reads again.
    None = 0,
    /// The kfunc `bpf_rdonly_cast` (6.2 and later; lockdown does not refuse it).
    Cast = 1,
    /// The helper `bpf_probe_read_kernel` (refused under `lockdown=confidentiality`).
    Probe = 2,
}

/// As [`Config::pid_level`]: records carry the depth of the thread's namespace in place of numbers.
pub const LEVEL_ASKED: u32 = u32::MAX;

macro_rules! config {
    ($($(#[$doc:meta])* $field:ident,)*) => {
        /// Every field is a `u32`; offsets are in bytes from the start of the named structure.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[repr(C)]
        pub struct Config {
            $($(#[$doc])* pub $field: u32,)*
        }

        impl Config {
            /// All zero: what the committed object holds until userspace fills it in.
            pub const EMPTY: Self = Self { $($field: 0,)* };
        }
    };
}

config! {
    /// A [`Reader`].
    reader,
    /// BTF id of `vm_area_struct`: a structure that starts with an `unsigned long`.
    word_type,
    /// 1 where `sys_exit` has a second program.
    twice,
    /// Depth of the PID namespace whose numbers records carry; 0 is the initial one.
    pid_level,
    /// 1 to tell a 32-bit system call by `thread_info.status & TS_COMPAT`.
    has_compat,

    /// `task_struct.mm`
    task_mm,
    /// `task_struct.tgid`
    task_tgid,
    /// `task_struct.pid`
    task_pid,
    /// `task_struct.flags`
    task_flags,
    /// `task_struct.comm`
    task_comm,
    /// `task_struct.thread_pid`
    task_thread_pid,
    /// `task_struct.group_leader`
    task_group_leader,
    /// `task_struct.signal`
    task_signal,
    /// `task_struct.exit_code`
    task_exit_code,
    /// `task_struct.thread_info.status`
    task_status,
    /// `signal_struct.live`
    signal_live,
    /// `signal_struct.group_exit_code`
    signal_group_exit_code,
    /// `pid.level`
    pid_depth,
    /// `pid.numbers`
    pid_numbers,
    /// Size of `upid`.
    upid_size,

    /// `mm_struct.mm_mt.ma_root`
    mm_root,
    /// `mm_struct.map_count`
    mm_map_count,
    /// `mm_struct.total_vm`
    mm_total_vm,
    /// `mm_struct.mmap_base`
    mm_mmap_base,
    /// `mm_struct.start_brk`
    mm_start_brk,
    /// `mm_struct.brk`
    mm_brk,
    /// `mm_struct.start_stack`
    mm_start_stack,
    /// `mm_struct.mmap_lock.count`
    mm_lock_count,
    /// `mm_struct.mm_lock_seq.sequence`, or 0 where it is no `seqcount_t` (before 6.14, or without
    /// `CONFIG_PER_VMA_LOCK`).
    mm_lock_seq,

    /// `vm_area_struct.vm_start`
    vma_start,
    /// `vm_area_struct.vm_end`
    vma_end,
    /// `vm_area_struct.vm_flags`
    vma_flags,
    /// `vm_area_struct.vm_pgoff`
    vma_pgoff,
    /// `vm_area_struct.vm_file`
    vma_file,
    /// `vm_area_struct.vm_ops`
    vma_ops,
    /// `vm_area_struct.vm_private_data`
    vma_private,
    /// `vm_area_struct.anon_name`; read only where `has_anon_name`.
    vma_anon_name,
    /// 0: no names of anonymous mappings; 1: for all mappings; 2: only for those without a file
    /// (5.17 to 6.1, where the field shares its place with the file's interval tree).
    has_anon_name,
    /// `anon_vma_name.name`
    anon_name_text,

    /// `file.f_inode`
    file_inode,
    /// `file.f_path.dentry`
    file_dentry,
    /// `inode.i_ino`
    inode_ino,
    /// `inode.i_generation`
    inode_generation,
    /// `inode.i_sb`
    inode_sb,
    /// `super_block.s_dev`
    sb_dev,
    /// `dentry.d_name.name`
    dentry_name,
    /// `dentry.d_parent`
    dentry_parent,
    /// `dentry.d_hash.pprev`
    dentry_hash,

    /// `maple_range_64.pivot`
    range_pivot,
    /// `maple_range_64.slot`
    range_slot,
    /// Number of slots of `maple_range_64`.
    range_slots,
    /// `maple_range_64.meta.end`
    range_end,
    /// `maple_arange_64.pivot`
    arange_pivot,
    /// `maple_arange_64.slot`
    arange_slot,
    /// `maple_arange_64.meta.end`
    arange_end,

    /// `vm_unmapped_area_info.length`
    unmapped_length,

    /// Where `pt_regs` keeps the system call's number.
    regs_nr,
    /// Where `pt_regs` keeps the stack pointer.
    regs_sp,
    /// Where `pt_regs` keeps the first argument.
    regs_a0,
    /// The second.
    regs_a1,
    /// The third.
    regs_a2,
    /// The fourth.
    regs_a3,
    /// The fifth.
    regs_a4,
    /// The sixth.
    regs_a5,
    /// The same for a 32-bit system call: first argument.
    compat_a0,
    /// The second.
    compat_a1,
    /// The third.
    compat_a2,
    /// The fourth.
    compat_a3,
    /// The fifth.
    compat_a4,
    /// The sixth.
    compat_a5,
}
