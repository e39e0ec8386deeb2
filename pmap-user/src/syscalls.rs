//! The system calls that change mappings: their names, numbers and classes.

use pmap_ebpf::class;

/// A watched system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syscall {
    /// Its name in the manual.
    pub name: &'static str,
    /// Its number for 64-bit programs: `arch/x86/entry/syscalls/syscall_64.tbl`.
    pub native: Option<u16>,
    /// Its number for 32-bit programs: `arch/x86/entry/syscalls/syscall_32.tbl`.
    pub compat: Option<u16>,
    /// What the programs in the kernel take its range from.
    pub class: u8,
    /// How many arguments it has.
    pub arguments: usize,
}

const fn call(
    name: &'static str,
    native: u16,
    compat: u16,
    class: u8,
    arguments: usize,
) -> Syscall {
    Syscall {
        name,
        native: if native == NONE { None } else { Some(native) },
        compat: if compat == NONE { None } else { Some(compat) },
        class,
        arguments,
    }
}

const NONE: u16 = u16::MAX;

/// Every watched system call.
pub const WATCHED: &[Syscall] = &[
    call("mmap", 9, 192, class::MMAP, 6),
    // Its arguments stand in memory.
    call("old_mmap", NONE, 90, class::UNKNOWN, 1),
    call("munmap", 11, 91, class::RANGE, 2),
    call("brk", 12, 45, class::BRK, 1),
    call("mprotect", 10, 125, class::RANGE, 3),
    call("pkey_mprotect", 329, 380, class::RANGE, 4),
    call("mremap", 25, 163, class::MREMAP, 5),
    call("remap_file_pages", 216, 257, class::RANGE, 5),
    call("madvise", 28, 219, class::RANGE, 3),
    call("process_madvise", 440, 440, class::UNKNOWN, 5),
    call("mlock", 149, 150, class::RANGE, 2),
    call("mlock2", 325, 376, class::RANGE, 3),
    call("munlock", 150, 151, class::RANGE, 2),
    call("mlockall", 151, 152, class::UNKNOWN, 1),
    call("munlockall", 152, 153, class::UNKNOWN, 0),
    call("mbind", 237, 274, class::RANGE, 6),
    call("set_mempolicy_home_node", 450, 450, class::RANGE, 4),
    call("mseal", 462, 462, class::RANGE, 3),
    call("shmat", 30, 397, class::SHMAT, 3),
    call("shmdt", 67, 398, class::SHMDT, 1),
    call("ipc", NONE, 117, class::IPC, 6),
    call("io_setup", 206, 245, class::PLACED, 2),
    call("io_destroy", 207, 246, class::UNKNOWN, 1),
    call("map_shadow_stack", 453, 453, class::PLACED, 3),
    call("prctl", 157, 172, class::PRCTL, 5),
    call("clone", 56, 120, class::FORK, 5),
    call("clone3", 435, 435, class::FORK, 2),
    call("fork", 57, 2, class::FORK, 0),
    call("vfork", 58, 190, class::FORK, 0),
    call("execve", 59, 11, class::EXEC, 3),
    call("execveat", 322, 358, class::EXEC, 5),
];

/// The watched system call with a number.
pub fn watched(nr: i32, compat: bool) -> Option<&'static Syscall> {
    let nr = u16::try_from(nr).ok()?;
    WATCHED.iter().find(|call| (if compat { call.compat } else { call.native }) == Some(nr))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that no number is given twice, and that each fits the programs' tables.
    #[test]
    fn numbers_are_unique() {
        for number in [|c: &Syscall| c.native, |c: &Syscall| c.compat] {
            let mut numbers: Vec<_> = WATCHED.iter().filter_map(number).collect();
            assert!(numbers.iter().all(|nr| usize::from(*nr) < pmap_ebpf::SYSCALL_SLOTS));
            let count = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), count);
        }
    }

    /// Check the numbers against those that the C library was built with.
    #[test]
    fn numbers_are_the_kernels() {
        for (name, nr) in [
            ("mmap", libc::SYS_mmap),
            ("munmap", libc::SYS_munmap),
            ("brk", libc::SYS_brk),
            ("mprotect", libc::SYS_mprotect),
            ("mremap", libc::SYS_mremap),
            ("madvise", libc::SYS_madvise),
            ("shmat", libc::SYS_shmat),
            ("shmdt", libc::SYS_shmdt),
            ("mbind", libc::SYS_mbind),
            ("pkey_mprotect", libc::SYS_pkey_mprotect),
            ("execveat", libc::SYS_execveat),
            ("clone3", libc::SYS_clone3),
            ("prctl", libc::SYS_prctl),
            ("io_setup", libc::SYS_io_setup),
            ("mlockall", libc::SYS_mlockall),
        ] {
            assert_eq!(watched(nr as i32, false).map(|call| call.name), Some(name));
        }
    }
}
