//! What the eBPF programs and userspace agree on: the records in the ring buffer, the entries that
//! the iterator writes, the state kept for each address space, and the facts about the running
//! kernel that userspace fills in before the programs are loaded.
//!
//! Every layout is `repr(C)`, without padding, in the byte order of the machine; its size is
//! asserted here. [`ABI`] stands in each record and changes with any of them.

#![no_std]

mod config;
mod record;
mod syscall;

pub use config::{Config, LEVEL_ASKED, Reader};
pub use record::{
    ABI, EXIT_LEN, Exit, HEADER_LEN, Header, ITER_LEN, IterEntry, NAME_LEN, NAME_MAX, NAME_WORDS,
    Name, RESULT_LEN, SECTION_LEN, SECTION_VMAS, SPACE_LEN, Section, Space, SpaceState,
    SyscallResult, VMA_LEN, Vma, flags, kinds, links, vma_kinds,
};
pub use syscall::{SYSCALL_SLOTS, class};
