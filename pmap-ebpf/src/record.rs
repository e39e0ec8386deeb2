//! The records of the ring buffer and the entries of the iterator.

/// Version of every layout in this file.
pub const ABI: u16 = 2;

/// What a record is: [`Header::kind`].
pub mod kinds {
    /// A write section of `mmap_lock` ended: [`super::Section`], then its mappings.
    pub const SECTION: u16 = 1;
    /// A watched system call returned: [`super::SyscallResult`].
    pub const RESULT: u16 = 2;
    /// An address space begins, by exec or fork: [`super::Space`].
    pub const SPACE: u16 = 3;
    /// An address space ended (`exit_mmap`): the header alone.
    pub const SPACE_END: u16 = 4;
    /// The last thread of a process ended: [`super::Exit`].
    pub const EXIT: u16 = 5;
    /// The name behind a mapping's identity: [`super::Name`].
    pub const NAME: u16 = 6;
}

/// Bits of [`Header::flags`].
pub mod flags {
    /// Another record of the same version follows.
    pub const MORE: u32 = 1;
    /// The mappings end before the range does: the rest is not known.
    pub const TRUNCATED: u32 = 2;
    /// The extent of the change is not known.
    pub const EXTENT_UNKNOWN: u32 = 4;
    /// Nothing was read: no reader on this kernel.
    pub const UNREAD: u32 = 8;
    /// The system call is a 32-bit one.
    pub const COMPAT: u32 = 16;
    /// The thread belongs to another address space (or to none).
    pub const REMOTE: u32 = 32;
    /// The section is the whole initial state of an address space, or a part of it.
    pub const INITIAL: u32 = 64;
    /// Begun by fork; without it, by exec.
    pub const FORK: u32 = 128;
    /// The lock was downgraded to a read lock, not released.
    pub const DOWNGRADE: u32 = 256;
    /// The mapping list was read without a lock while a writer could have been at work.
    pub const TORN: u32 = 512;
    /// The section is the whole state of an address space as it was asked for, or a part of it.
    pub const ASKED: u32 = 1024;
}

/// What names a mapping: [`Vma::kind`].
pub mod vma_kinds {
    /// Nothing but its place: anonymous, `[heap]`, `[stack]`.
    pub const ANON: u32 = 0;
    /// A file; the identity is its dentry.
    pub const FILE: u32 = 1;
    /// Made by the kernel or a driver (`[vdso]`); the identity is `vm_private_data`.
    pub const SPECIAL: u32 = 2;
    /// A name given by `prctl(PR_SET_VMA_ANON_NAME)`; the identity is that name's address.
    pub const NAMED: u32 = 3;
    /// A file's mapping with such a name.
    pub const NAMED_FILE: u32 = 4;
}

/// Where a file's name stands: [`Name::link`].
pub mod links {
    /// In a folder.
    pub const LINKED: u32 = 0;
    /// In a folder no longer.
    pub const UNLINKED: u32 = 1;
    /// In no folder ever: memfd, System V, shared anonymous memory.
    pub const PSEUDO: u32 = 2;
}

/// The head of every record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Header {
    /// One of [`kinds`].
    pub kind: u16,
    /// [`ABI`].
    pub abi: u16,
    /// Bits of [`flags`].
    pub flags: u32,
    /// When, in ns of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// The address space.
    pub space: u64,
    /// Thread group of the thread that acted.
    pub pid: u32,
    /// The thread that acted.
    pub tid: u32,
    /// Its `comm`, NUL-padded.
    pub comm: [u8; 16],
}

impl Header {
    /// All zero.
    pub const EMPTY: Self =
        Self { kind: 0, abi: 0, flags: 0, time: 0, space: 0, pid: 0, tid: 0, comm: [0; 16] };
}

/// Bytes of a [`Header`].
pub const HEADER_LEN: usize = 48;

/// One mapping as the kernel holds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Vma {
    /// First address, in bytes.
    pub start: u64,
    /// First address after it, in bytes.
    pub end: u64,
    /// `vm_pgoff`, in pages; says nothing where there is no file.
    pub pgoff: u64,
    /// `vm_flags`.
    pub flags: u64,
    /// `i_ino`.
    pub inode: u64,
    /// Identity of what names the mapping, comparable and nothing else.
    pub id: u64,
    /// `s_dev` in the kernel's encoding: major above 20 bits of minor.
    pub dev: u32,
    /// `i_generation`.
    pub generation: u32,
    /// One of [`vma_kinds`].
    pub kind: u32,
    /// Zero.
    pub reserved: u32,
}

/// Bytes of a [`Vma`].
pub const VMA_LEN: usize = 64;

/// A write section of `mmap_lock`: the state that it leaves, read before the lock is let go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Section {
    /// Its place in the true order of the address space; the first is 1.
    pub version: u64,
    /// First address that the mappings speak for.
    pub lo: u64,
    /// First address that they no longer speak for.
    pub hi: u64,
    /// `total_vm` after the section, in pages.
    pub total_vm: u64,
    /// `brk` after the section.
    pub brk: u64,
    /// Records of this address space that found no room, so far.
    pub lost: u64,
    /// `map_count` after the section.
    pub map_count: u32,
    /// System call number, -1 outside of any.
    pub nr: i32,
    /// Mappings that follow.
    pub count: u32,
    /// Class of the system call.
    pub class: u32,
}

/// Bytes of a [`Section`].
pub const SECTION_LEN: usize = 64;

/// Mappings in one record at the most.
pub const SECTION_VMAS: usize = 64;

/// A watched system call returned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SyscallResult {
    /// What it returned: a value or `-errno`.
    pub ret: i64,
    /// Its arguments.
    pub args: [u64; 6],
    /// Its number.
    pub nr: i32,
    /// Its class.
    pub class: u32,
}

/// Bytes of a [`SyscallResult`].
pub const RESULT_LEN: usize = 64;

/// An address space begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Space {
    /// The process that owns it.
    pub owner: u32,
    /// Its parent, where it was forked.
    pub parent: u32,
    /// `start_brk`.
    pub start_brk: u64,
    /// `start_stack`.
    pub start_stack: u64,
    /// Key of the address space in the map of [`SpaceState`]s; zero where none began.
    pub key: u64,
}

/// Bytes of a [`Space`].
pub const SPACE_LEN: usize = 32;

/// A process ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Exit {
    /// Wait status, as `wait4` gives it.
    pub status: u32,
    /// Zero.
    pub reserved: u32,
}

/// Bytes of an [`Exit`].
pub const EXIT_LEN: usize = 8;

/// Words of a name in a record.
pub const NAME_WORDS: usize = 32;
/// Bytes of a name in a record (a path component has 255 at the most).
pub const NAME_MAX: usize = NAME_WORDS * 8;

/// The last component of a file's path, or the name given to an anonymous mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Name {
    /// [`Vma::id`] of the mapping that it names.
    pub id: u64,
    /// [`Vma::inode`].
    pub inode: u64,
    /// [`Vma::dev`].
    pub dev: u32,
    /// [`Vma::generation`].
    pub generation: u32,
    /// [`Vma::kind`].
    pub kind: u32,
    /// One of [`links`].
    pub link: u32,
    /// The bytes, ended by a NUL unless they fill it.
    pub text: [u8; NAME_MAX],
}

/// Bytes of a [`Name`].
pub const NAME_LEN: usize = 32 + NAME_MAX;

/// What the iterator writes for each mapping, with the read lock held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct IterEntry {
    /// Version of the address space at this moment.
    pub version: u64,
    /// Address space.
    pub space: u64,
    /// `total_vm`, in pages.
    pub total_vm: u64,
    /// `brk`.
    pub brk: u64,
    /// `start_brk`.
    pub start_brk: u64,
    /// `start_stack`.
    pub start_stack: u64,
    /// Key of the address space in the map of [`SpaceState`]s.
    pub key: u64,
    /// `map_count`.
    pub map_count: u32,
    /// The thread group, in the numbers of the configured namespace.
    pub pid: u32,
    /// The mapping.
    pub vma: Vma,
}

/// Bytes of an [`IterEntry`].
pub const ITER_LEN: usize = 64 + VMA_LEN;

/// Kept by the programs for each followed address space, keyed by the `mm_struct`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SpaceState {
    /// Write sections so far.
    pub version: u64,
    /// Its number.
    pub space: u64,
    /// Records that found no room.
    pub lost: u64,
    /// Where the open section was given room by the kernel, or 0.
    pub unmapped: u64,
    /// How much room, in bytes.
    pub unmapped_len: u64,
    /// `brk` after the last section.
    pub brk: u64,
    /// `mm_lock_seq` after the last section.
    pub seq: u64,
}

const _: () = {
    assert!(size_of::<Header>() == HEADER_LEN);
    assert!(size_of::<Vma>() == VMA_LEN);
    assert!(size_of::<Section>() == SECTION_LEN);
    assert!(size_of::<SyscallResult>() == RESULT_LEN);
    assert!(size_of::<Space>() == SPACE_LEN);
    assert!(size_of::<Exit>() == EXIT_LEN);
    assert!(size_of::<Name>() == NAME_LEN);
    assert!(size_of::<IterEntry>() == ITER_LEN);
    assert!(size_of::<SpaceState>() == 56);
};
