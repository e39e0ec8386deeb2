//! What a view shows: one change of an address space.

use pmap_ebpf::class;

use crate::{
    syscalls::{self, Syscall},
    table::Piece,
};

/// A change of an address space, or a call that failed to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// When, in ns of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// The address space.
    pub space: u64,
    /// Its place in the order of that address space's write sections; zero where it is none.
    pub version: u64,
    /// Process of the thread that acted.
    pub pid: u32,
    /// The thread that acted.
    pub tid: u32,
    /// Its `comm`, NUL-padded.
    pub comm: [u8; 16],
    /// What it was.
    pub op: Op,
    /// What it did to the mappings, in ascending order.
    pub pieces: Vec<Piece>,
}

/// What it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A watched system call.
    Call(Call),
    /// A stack that grew in a page fault.
    Stack,
    /// A write section inside a system call that is not watched.
    OtherCall {
        /// Its number.
        nr: i32,
        /// Whether it is a 32-bit one.
        compat: bool,
    },
    /// A write section outside of any system call, or by another process.
    Other,
    /// A new image: the address space begins anew.
    Exec,
    /// A child begins, with an address space of its own or its parent's.
    Fork {
        /// The child.
        child: u32,
    },
    /// The process ended.
    Exit {
        /// Wait status, as `wait4` gives it.
        status: u32,
    },
    /// Ranges were read again, and were found to differ from the table.
    Reread(Reason),
}

/// A watched system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub syscall: &'static Syscall,
    /// Whether it is a 32-bit one.
    pub compat: bool,
    /// Arguments and result; unknown while the call has not returned, or where that was lost.
    pub outcome: Option<([u64; 6], i64)>,
}

/// Why ranges were read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Records were lost.
    Lost,
    /// This kernel lets nobody read a mapping inside its write section.
    Unread,
    /// More mappings than a record holds.
    Truncated,
    /// A write section whose extent nothing tells.
    Extent,
    /// The kernel's counters did not agree with the table. A defect: please report it.
    Counters,
    /// `/proc/PID/smaps` did not agree with the table. A defect: please report it.
    Drift,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Lost, Self::Unread, Self::Truncated, Self::Extent, Self::Counters, Self::Drift];

    /// A word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Unread => "unread",
            Self::Truncated => "truncated",
            Self::Extent => "extent",
            Self::Counters => "counters",
            Self::Drift => "drift",
        }
    }
}

impl Call {
    /// Its name; that of the call which 32-bit programs make through `ipc(2)`.
    pub fn name(&self) -> &'static str {
        let through = self.outcome.filter(|_| self.syscall.class == class::IPC);
        match through.map(|(args, _)| args[0] & 0xffff) {
            Some(21) => "shmat",
            Some(22) => "shmdt",
            _ => self.syscall.name,
        }
    }
}

impl Change {
    /// A word for what it was; `syscall` where only a number is known.
    pub fn name(&self) -> &'static str {
        match &self.op {
            Op::Call(call) => call.name(),
            Op::Stack => "stack",
            Op::OtherCall { nr, compat } => other_name(*nr, *compat),
            Op::Other => "other",
            Op::Exec => "exec",
            Op::Fork { .. } => "fork",
            Op::Exit { .. } => "exit",
            Op::Reread(_) => "reread",
        }
    }
}

/// Names of calls that are not watched and yet seen to take the lock for writing.
fn other_name(nr: i32, compat: bool) -> &'static str {
    match (nr, compat) {
        (16, false) | (54, true) => "ioctl",
        (330, false) | (381, true) => "pkey_alloc",
        (331, false) | (382, true) => "pkey_free",
        (158, false) | (384, true) => "arch_prctl",
        (425 | 427, _) => "io_uring",
        (0 | 17 | 19 | 45 | 47, false) => "read",
        (1, false) => "write",
        _ => syscalls::watched(nr, compat).map_or("syscall", |call| call.name),
    }
}
