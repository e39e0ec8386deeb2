//! Reads a process's mappings through the `iter/task_vma` program.
//!
//! aya gives an iterator no parameters, and without them the kernel walks every process; so the
//! link and its file are made here, by `bpf(2)`.

use std::{
    fs::File,
    io::{self, Read as _},
    mem::{size_of, zeroed},
    os::fd::{AsRawFd as _, BorrowedFd, OwnedFd},
};

use super::bpf::{self, Command};
use crate::record::{IterEntry, decode_iter};

/// `BPF_TRACE_ITER` of `include/uapi/linux/bpf.h`.
const TRACE_ITER: u32 = 28;

/// Room for one `read`: the kernel fills 32 KiB at the most (`kernel/bpf/bpf_iter.c`).
const BUFFER: usize = 64 << 10;

/// `union bpf_iter_link_info`, its `task` member.
#[repr(C)]
struct TaskInfo {
    tid: u32,
    pid: u32,
    pid_fd: u32,
    rest: u32,
}

/// The part of `union bpf_attr` that the two commands read.
#[repr(C)]
struct Attributes {
    fd: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    info: u64,
    info_len: u32,
    rest: [u32; 25],
}

/// An iterator over the mappings of one process, or of all.
#[derive(Debug)]
pub(super) struct VmaIterator {
    link: OwnedFd,
    all: bool,
}

impl VmaIterator {
    /// Ties the program to a process (a number of our PID namespace), or to all with zero.
    ///
    /// The kernel takes a thread's number too, but finds none that is not its group's first
    /// (`task_seq_get_next`); by the process, it goes on to the next thread where the first has ended.
    /// Before 6.7 it often misses that one (`task_group_seq_get_next` asks the wrong thread for its
    /// files): then a walk of all finds it.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) fn new(program: BorrowedFd<'_>, pid: u32) -> io::Result<Self> {
        let info = TaskInfo { tid: 0, pid, pid_fd: 0, rest: 0 };
        // SAFETY: integers only.
        let mut attributes: Attributes = unsafe { zeroed() };
        attributes.fd = program.as_raw_fd() as u32;
        attributes.attach_type = TRACE_ITER;
        attributes.info = (&raw const info) as u64;
        attributes.info_len = size_of::<TaskInfo>() as u32;
        // SAFETY: the attributes of a link of an iterator.
        let link = unsafe { bpf::create(Command::LinkCreate, &attributes)? };
        Ok(Self { link, all: pid == 0 })
    }

    /// Reads every mapping of the process, in ascending order; empty where it is gone or has none.
    ///
    /// # Errors
    /// What the kernel answers to the read.
    pub(super) fn read(&self, pid: u32) -> io::Result<Vec<IterEntry>> {
        // SAFETY: integers only.
        let mut attributes: Attributes = unsafe { zeroed() };
        attributes.fd = self.link.as_raw_fd() as u32;
        // SAFETY: the attributes of an iterator's file: the link, and no flags.
        let mut file = File::from(unsafe { bpf::create(Command::IterCreate, &attributes)? });
        let mut entries: Vec<IterEntry> = Vec::new();
        let mut buffer = vec![0; BUFFER];
        loop {
            let len = match file.read(&mut buffer) {
                Ok(len) => len,
                // The program asks to be called again when its buffer is full.
                Err(e) if matches!(e.raw_os_error(), Some(libc::EAGAIN | libc::EINTR)) => continue,
                Err(e) => return Err(e),
            };
            if len == 0 {
                return Ok(entries);
            }
            let before = entries.len();
            for entry in decode_iter(&buffer[..len]) {
                let past = entries.last().map_or(0, |entry| entry.vma.end);
                // One that begins before that was merged with the last one since: it is newer.
                if entry.vma.end > past && (!self.all || entry.pid == pid) {
                    entries.push(entry);
                }
            }
            // Past the end the kernel may hand out the last mapping again and again, or the list of
            // the next thread.
            if entries.len() == before && !self.all {
                return Ok(entries);
            }
        }
    }
}
