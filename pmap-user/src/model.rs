//! The nouns that every source produces and every view prints.
//!
//! Pure data: this module opens no file and knows neither `/proc` nor the kernel's records.

/// One mapping, in the words of a line of `/proc/PID/maps` (`fs/proc/task_mmu.c`, `show_map_vma`).
///
/// Borrowed, so that a source can hand out sixty thousand of them without an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// First address, in bytes; page-aligned.
    pub start: u64,
    /// First address after the mapping, in bytes; page-aligned, above `start`.
    pub end: u64,
    /// Permissions.
    pub perms: Perms,
    /// Offset into the file, in bytes.
    pub offset: u64,
    /// Device of the file; zero where there is none.
    pub device: Device,
    /// Inode of the file; zero where there is none.
    pub inode: u64,
    /// What follows the inode column, without the padding before it: a path as the kernel escapes
    /// it, `[heap]`, `[vdso]`, …, or nothing. Any bytes but a newline.
    pub name: &'a [u8],
}

impl Mapping<'_> {
    /// Length in KiB.
    pub const fn kib(&self) -> u64 {
        (self.end - self.start) >> 10
    }
}

/// The four permission characters of a mapping, as flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Perms(u8);

impl Perms {
    /// May be read.
    pub const READ: Self = Self(1);
    /// May be written.
    pub const WRITE: Self = Self(2);
    /// May be executed.
    pub const EXEC: Self = Self(4);
    /// Shared (`VM_MAYSHARE`, which is what the `s` column shows).
    pub const SHARED: Self = Self(8);

    /// From the low four bits: read, write, execute, shared.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 15)
    }

    /// The low four bits: read, write, execute, shared.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Whether every permission of `other` is here too.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The characters of the kernel: `rwxp`, `r--s`, ….
    pub const fn kernel(self) -> [u8; 4] {
        [
            if self.contains(Self::READ) { b'r' } else { b'-' },
            if self.contains(Self::WRITE) { b'w' } else { b'-' },
            if self.contains(Self::EXEC) { b'x' } else { b'-' },
            if self.contains(Self::SHARED) { b's' } else { b'p' },
        ]
    }
}

/// A device number as `/proc/PID/maps` prints it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Device {
    /// Major number (12 bits in the kernel).
    pub major: u32,
    /// Minor number (20 bits in the kernel).
    pub minor: u32,
}
