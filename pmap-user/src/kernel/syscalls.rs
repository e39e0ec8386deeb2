//! The system calls that change mappings, by number: what the programs take a call's range from.

use pmap_ebpf::{SYSCALL_SLOTS, class};

/// One class for each number.
pub(super) type Classes = [u8; SYSCALL_SLOTS];

fn table(entries: &[(usize, u8)]) -> Classes {
    let mut classes = [class::NONE; SYSCALL_SLOTS];
    for &(nr, class) in entries {
        classes[nr] = class;
    }
    classes
}

/// 64-bit calls: `arch/x86/entry/syscalls/syscall_64.tbl`.
pub(super) fn native() -> Classes {
    table(&[
        (9, class::MMAP),
        (10, class::RANGE), // mprotect
        (11, class::RANGE), // munmap
        (12, class::BRK),
        (25, class::MREMAP),
        (28, class::RANGE), // madvise
        (30, class::SHMAT),
        (56, class::FORK),     // clone
        (57, class::FORK),     // fork
        (58, class::FORK),     // vfork
        (59, class::EXEC),     // execve
        (67, class::UNKNOWN),  // shmdt
        (149, class::RANGE),   // mlock
        (150, class::RANGE),   // munlock
        (151, class::UNKNOWN), // mlockall
        (152, class::UNKNOWN), // munlockall
        (157, class::PRCTL),
        (206, class::IO_SETUP),
        (207, class::UNKNOWN), // io_destroy
        (216, class::REMAP),   // remap_file_pages
        (237, class::RANGE),   // mbind
        (322, class::EXEC),    // execveat
        (325, class::RANGE),   // mlock2
        (329, class::RANGE),   // pkey_mprotect
        (435, class::FORK),    // clone3
        (440, class::UNKNOWN), // process_madvise
        (450, class::RANGE),   // set_mempolicy_home_node
        (462, class::RANGE),   // mseal
    ])
}

/// 32-bit calls: `arch/x86/entry/syscalls/syscall_32.tbl`.
pub(super) fn compat() -> Classes {
    table(&[
        (2, class::FORK),
        (11, class::EXEC),
        (45, class::BRK),
        (90, class::UNKNOWN), // mmap, whose arguments stand in memory
        (91, class::RANGE),   // munmap
        (117, class::IPC),
        (120, class::FORK),    // clone
        (125, class::RANGE),   // mprotect
        (150, class::RANGE),   // mlock
        (151, class::RANGE),   // munlock
        (152, class::UNKNOWN), // mlockall
        (153, class::UNKNOWN), // munlockall
        (163, class::MREMAP),
        (172, class::PRCTL),
        (190, class::FORK),  // vfork
        (192, class::MMAP),  // mmap2
        (219, class::RANGE), // madvise
        (245, class::IO_SETUP),
        (246, class::UNKNOWN), // io_destroy
        (257, class::REMAP),   // remap_file_pages
        (274, class::RANGE),   // mbind
        (358, class::EXEC),    // execveat
        (376, class::RANGE),   // mlock2
        (380, class::RANGE),   // pkey_mprotect
        (397, class::SHMAT),
        (398, class::UNKNOWN), // shmdt
        (435, class::FORK),    // clone3
        (440, class::UNKNOWN), // process_madvise
        (450, class::RANGE),   // set_mempolicy_home_node
        (462, class::RANGE),   // mseal
    ])
}
