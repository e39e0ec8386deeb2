//! The tables of classes that the programs look system calls up in.

use pmap_ebpf::{SYSCALL_SLOTS, class};

use crate::syscalls::{Syscall, WATCHED};

/// One class for each number.
pub(super) type Classes = [u8; SYSCALL_SLOTS];

fn table(number: impl Fn(&Syscall) -> Option<u16>) -> Classes {
    let mut classes = [class::NONE; SYSCALL_SLOTS];
    for call in WATCHED {
        if let Some(nr) = number(call) {
            classes[usize::from(nr)] = call.class;
        }
    }
    classes
}

/// For 64-bit calls.
pub(super) fn native() -> Classes {
    table(|call| call.native)
}

/// For 32-bit calls.
pub(super) fn compat() -> Classes {
    table(|call| call.compat)
}
