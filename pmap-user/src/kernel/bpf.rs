//! `bpf(2)`, for what aya does not offer.

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

/// Commands of `enum bpf_cmd`, `include/uapi/linux/bpf.h`.
#[derive(Clone, Copy, Debug)]
#[repr(i64)]
pub(super) enum Command {
    /// `BPF_PROG_LOAD`
    ProgLoad = 5,
    /// `BPF_OBJ_GET_INFO_BY_FD`
    ObjGetInfoByFd = 15,
    /// `BPF_LINK_CREATE`
    LinkCreate = 28,
    /// `BPF_ITER_CREATE`
    IterCreate = 33,
}

/// Calls the kernel with the command's part of `union bpf_attr`.
///
/// # Safety
/// `T` is that part, without padding, and what it points to is as the command wants it.
unsafe fn call<T>(command: Command, attributes: &T) -> io::Result<libc::c_long> {
    // SAFETY: the kernel reads no more than the size that it is given; the rest, as the caller says.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command as libc::c_long,
            &raw const *attributes,
            size_of::<T>(),
        )
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// A command that makes a descriptor.
///
/// # Errors
/// What the kernel answers.
///
/// # Safety
/// As for the command: `T` is its part of `union bpf_attr`, without padding, and what it points to is
/// as the command wants it.
pub(super) unsafe fn create<T>(command: Command, attributes: &T) -> io::Result<OwnedFd> {
    // SAFETY: as the caller says; a descriptor that the kernel has just made for us.
    unsafe { call(command, attributes).map(|fd| OwnedFd::from_raw_fd(fd as libc::c_int)) }
}

/// The beginning of `struct bpf_prog_info` or `struct bpf_link_info`, in words; zero where the kernel
/// does not know them.
pub(super) fn info<const WORDS: usize>(object: BorrowedFd<'_>) -> [u64; WORDS] {
    #[repr(C)]
    struct Attributes {
        fd: u32,
        len: u32,
        info: u64,
    }
    let mut info = [0u64; WORDS];
    let attributes = Attributes {
        fd: object.as_raw_fd().cast_unsigned(),
        len: size_of::<[u64; WORDS]>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: the kernel writes no more than `len` bytes.
    let result = unsafe { call(Command::ObjGetInfoByFd, &attributes) };
    result.map_or([0; WORDS], |_| info)
}

/// How often a program did not run because it was at work on that CPU (5.12); 0 where that is not
/// known.
pub(super) fn recursion_misses(program: BorrowedFd<'_>) -> u64 {
    /// The word of `struct bpf_prog_info` that is `recursion_misses`.
    const RECURSION_MISSES: usize = 26;
    info::<{ RECURSION_MISSES + 1 }>(program)[RECURSION_MISSES]
}
