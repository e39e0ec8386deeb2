//! What the kernel says of a loaded program.

use std::{
    mem::size_of,
    os::fd::{AsRawFd as _, BorrowedFd},
};

/// `BPF_OBJ_GET_INFO_BY_FD` of `include/uapi/linux/bpf.h`.
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;

/// The beginning of `struct bpf_prog_info`, in words.
const WORDS: usize = 27;
/// The word of it that is `recursion_misses` (5.12).
const RECURSION_MISSES: usize = 26;

/// The part of `union bpf_attr` that the command reads.
#[repr(C)]
struct Attributes {
    fd: u32,
    len: u32,
    info: u64,
}

/// How often a program did not run because it was at work on that CPU; 0 where that is not known.
pub(super) fn recursion_misses(program: BorrowedFd<'_>) -> u64 {
    let mut info = [0u64; WORDS];
    let attributes = Attributes {
        fd: program.as_raw_fd().cast_unsigned(),
        len: size_of::<[u64; WORDS]>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: the kernel reads no more than the size that it is given, and writes no more than `len`.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            OBJ_GET_INFO_BY_FD,
            &raw const attributes,
            size_of::<Attributes>(),
        )
    };
    if result < 0 { 0 } else { info[RECURSION_MISSES] }
}
