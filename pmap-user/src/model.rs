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

/// The keys of `/proc/PID/smaps` that a source knows of, in the order in which the kernel prints them.
///
/// Only ever grows, so that an index into it stays good; a mapping's values lie beside it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys(Vec<Box<[u8]>>);

impl Keys {
    /// No key at all.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key at `index`, as the kernel spells it (`Rss`, `Shared_Dirty`).
    pub fn name(&self, index: usize) -> &[u8] {
        &self.0[index]
    }

    /// The keys in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|key| &key[..])
    }

    /// Where `key` stands.
    pub fn position(&self, key: &[u8]) -> Option<usize> {
        self.0.iter().position(|known| **known == *key)
    }

    /// Where `key` stands, after adding it at the end if it is new.
    pub fn intern(&mut self, key: &[u8]) -> usize {
        self.position(key).unwrap_or_else(|| {
            self.0.push(key.into());
            self.0.len() - 1
        })
    }
}

/// What `/proc/PID/smaps` says of one mapping beside its first line, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Details<'a> {
    /// The keys that the values belong to.
    pub keys: &'a Keys,
    /// A value a key, in KiB except for plain numbers such as `THPeligible`. `None`, or a list shorter
    /// than the keys, means that the figure is not known.
    pub values: &'a [Option<u64>],
    /// The two-letter words of `VmFlags`, blanks between them and none at the ends.
    pub flags: Option<&'a [u8]>,
}

/// For [`Details::NONE`].
static NO_KEYS: Keys = Keys::new();

impl Details<'static> {
    /// Nothing is known: what a source of plain `/proc/PID/maps` hands out.
    pub const NONE: Self = Self { keys: &NO_KEYS, values: &[], flags: None };
}

impl Details<'_> {
    /// The value of the key at `index`, where it is known.
    pub fn value(&self, index: usize) -> Option<u64> {
        self.values.get(index).copied().flatten()
    }

    /// The value of `key`, where it is known.
    pub fn get(&self, key: &[u8]) -> Option<u64> {
        self.keys.position(key).and_then(|index| self.value(index))
    }

    /// Resident pages, in KiB.
    pub fn rss(&self) -> Option<u64> {
        self.get(b"Rss")
    }

    /// Dirty pages, shared or private, in KiB.
    pub fn dirty(&self) -> Option<u64> {
        Some(self.get(b"Shared_Dirty")?.saturating_add(self.get(b"Private_Dirty")?))
    }
}

/// What a view says of a process beside its mappings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Thread-group id.
    pub pid: u32,
    /// The command line as it is printed: safe for a terminal, arguments apart by blanks.
    pub command: Vec<u8>,
    /// Where the first thread's stack began (`start_stack`, field 28 of `/proc/PID/stat`), in bytes; zero
    /// where it is hidden or there is none.
    pub start_stack: u64,
    /// Device minor of the tmpfs that holds System V shared memory, where it is known.
    pub sysv_minor: Option<u32>,
}
