//! Gives up the privileges that loading needed and following does not.

use std::io;

/// `CAP_SYS_PTRACE`: `/proc/PID/maps` and `smaps` of the followed processes are read all along,
/// also when an exec begins a new address space.
const KEPT: u32 = 1 << 19;
/// `_LINUX_CAPABILITY_VERSION_3`.
const VERSION: u32 = 0x2008_0522;

#[repr(C)]
struct Head {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Niceness of the thread that empties the ring: beside a storm on every CPU, whoever is late loses
/// records. Where it is refused, there is the ring's size.
const NICENESS: libc::c_int = -10;

/// Lets the calling thread run before others of the same kind.
pub(super) fn hurry() {
    // SAFETY: numbers only.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

/// Drops every capability but the one that is still needed, for good, and forbids gaining others.
///
/// # Errors
/// What the kernel answers.
pub(super) fn drop_unneeded() -> io::Result<()> {
    let head = Head { version: VERSION, pid: 0 };
    let mut data = [Data { effective: 0, permitted: 0, inheritable: 0 }; 2];
    // SAFETY: both structures are of the form that this version asks for.
    unsafe {
        if libc::syscall(libc::SYS_capget, &raw const head, data.as_mut_ptr()) < 0 {
            return Err(io::Error::last_os_error());
        }
        let kept = data[0].permitted & KEPT;
        data = [
            Data { effective: kept, permitted: kept, inheritable: 0 },
            Data { effective: 0, permitted: 0, inheritable: 0 },
        ];
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
            || libc::syscall(libc::SYS_capset, &raw const head, data.as_ptr()) < 0
        {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}
