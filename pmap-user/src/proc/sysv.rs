//! Which device holds System V shared memory.

use std::fs::File;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

/// Device minor of the kernel's own tmpfs mount, on which System V segments lie.
///
/// A memfd lies on the same mount (`mm/shmem.c`, `shm_mnt`), so its minor is the answer, and no segment has
/// to be made and removed for it. `None` where the kernel refuses a memfd.
pub fn sysv_minor() -> Option<u32> {
    // SAFETY: the name is a C string, and the call has no other requirement.
    let fd = unsafe { libc::memfd_create(c"pmap".as_ptr(), libc::MFD_CLOEXEC) };
    if fd < 0 {
        return None;
    }
    // SAFETY: the call above has just opened this descriptor, and nothing else owns it.
    let file = File::from(unsafe { OwnedFd::from_raw_fd(fd) });
    let device = file.metadata().ok()?.dev();
    Some(libc::minor(device))
}
