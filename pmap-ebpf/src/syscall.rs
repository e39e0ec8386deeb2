//! Classes of system calls: what the programs must know of a call to find the range it changes.

/// Slots of the class tables, one for each system call number.
pub const SYSCALL_SLOTS: usize = 512;

/// The classes. Userspace fills one table for 64-bit calls and one for 32-bit ones.
pub mod class {
    /// Not watched: a write section inside it is of unknown extent.
    pub const NONE: u8 = 0;
    /// `mmap`: address and length are arguments 0 and 1, the flags argument 3.
    pub const MMAP: u8 = 1;
    /// The range is arguments 0 and 1: `munmap`, `mprotect`, `madvise`, `mlock`, ….
    pub const RANGE: u8 = 2;
    /// `brk`.
    pub const BRK: u8 = 3;
    /// `mremap`.
    pub const MREMAP: u8 = 4;
    /// `shmat`: the address is argument 1.
    pub const SHMAT: u8 = 5;
    /// Watched, but its extent is not in its arguments: `mlockall`, `process_madvise`.
    pub const UNKNOWN: u8 = 6;
    /// `fork`, `vfork`, `clone`: locks the parent's address space, changes nothing in it.
    pub const FORK: u8 = 7;
    /// `execve`, `execveat`.
    pub const EXEC: u8 = 8;
    /// `prctl`: a range in arguments 2 and 3 when argument 0 is `PR_SET_VMA`.
    pub const PRCTL: u8 = 9;
    /// Maps at an address of the kernel's choice: `io_setup`, `map_shadow_stack`.
    pub const PLACED: u8 = 10;
    /// 32-bit `ipc`: `shmat` and `shmdt` among others.
    pub const IPC: u8 = 11;
    /// `shmdt`: the address is argument 0, the length is the segment's.
    pub const SHMDT: u8 = 12;
}
