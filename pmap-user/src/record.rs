//! Bytes from the kernel become records. Pure: any bytes give a value, never a panic.
//!
//! The layouts are `pmap_ebpf`'s. A record of another version, of a kind that is not known, or
//! shorter than it says is [`Body::Unknown`]: counted by whoever reads, and no more.

use pmap_ebpf::{ABI, ITER_LEN, NAME_MAX, VMA_LEN, kinds};
pub use pmap_ebpf::{Exit, Header, IterEntry, Section, Space, SyscallResult, Vma};

/// A record of the ring buffer.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// When, where and who.
    pub head: Header,
    /// What.
    pub body: Body<'a>,
}

/// What a record says.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// A write section ended and left these mappings.
    Section(Section, Vmas<'a>),
    /// A watched system call returned.
    Result(SyscallResult),
    /// An address space begins.
    Space(Space),
    /// An address space ended.
    SpaceEnd,
    /// A process ended.
    Exit(Exit),
    /// A name.
    Name(Named<'a>),
    /// Nothing that this version knows.
    Unknown,
}

/// The name behind a mapping's identity; see [`pmap_ebpf::Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a> {
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
    /// One of [`pmap_ebpf::links`].
    pub link: u32,
    /// The name.
    pub text: &'a [u8],
}

/// The mappings of a section.
#[derive(Clone, Copy, Debug)]
pub struct Vmas<'a>(&'a [u8]);

impl Iterator for Vmas<'_> {
    type Item = Vma;

    fn next(&mut self) -> Option<Vma> {
        let (first, rest) = self.0.split_at_checked(VMA_LEN)?;
        self.0 = rest;
        Fields(first).vma()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let len = self.0.len() / VMA_LEN;
        (len, Some(len))
    }
}

impl ExactSizeIterator for Vmas<'_> {}

/// Decodes one record.
pub fn decode(bytes: &[u8]) -> Option<Record<'_>> {
    let mut fields = Fields(bytes);
    let head = fields.header()?;
    let body = if head.abi == ABI { fields.body(head.kind) } else { None };
    Some(Record { head, body: body.unwrap_or(Body::Unknown) })
}

/// Decodes what the iterator wrote; a torn last entry is left out.
pub fn decode_iter(bytes: &[u8]) -> Vec<IterEntry> {
    bytes.chunks_exact(ITER_LEN).filter_map(|entry| Fields(entry).iter_entry()).collect()
}

/// Takes fields off the front, in the order of the layout.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_ne_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_ne_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_ne_bytes)
    }

    /// What stands before the first NUL of a name's room.
    fn text(&mut self) -> Option<&'a [u8]> {
        let (room, rest) = self.0.split_at_checked(NAME_MAX)?;
        self.0 = rest;
        room.split(|byte| *byte == 0).next()
    }

    fn header(&mut self) -> Option<Header> {
        Some(Header {
            kind: self.u16()?,
            abi: self.u16()?,
            flags: self.u32()?,
            time: self.u64()?,
            space: self.u64()?,
            pid: self.u32()?,
            tid: self.u32()?,
            comm: self.take()?,
        })
    }

    fn body(&mut self, kind: u16) -> Option<Body<'a>> {
        Some(match kind {
            kinds::SECTION => {
                let section = self.section()?;
                let len = (section.count as usize).checked_mul(VMA_LEN)?;
                Body::Section(section, Vmas(self.0.get(..len)?))
            }
            kinds::RESULT => Body::Result(SyscallResult {
                ret: self.u64()?.cast_signed(),
                args: [
                    self.u64()?,
                    self.u64()?,
                    self.u64()?,
                    self.u64()?,
                    self.u64()?,
                    self.u64()?,
                ],
                nr: self.u32()?.cast_signed(),
                class: self.u32()?,
            }),
            kinds::SPACE => Body::Space(Space {
                owner: self.u32()?,
                parent: self.u32()?,
                start_brk: self.u64()?,
                start_stack: self.u64()?,
                key: self.u64()?,
            }),
            kinds::SPACE_END => Body::SpaceEnd,
            kinds::EXIT => Body::Exit(Exit { status: self.u32()?, reserved: self.u32()? }),
            kinds::NAME => Body::Name(Named {
                id: self.u64()?,
                inode: self.u64()?,
                dev: self.u32()?,
                generation: self.u32()?,
                kind: self.u32()?,
                link: self.u32()?,
                text: self.text()?,
            }),
            _ => return None,
        })
    }

    fn section(&mut self) -> Option<Section> {
        Some(Section {
            version: self.u64()?,
            lo: self.u64()?,
            hi: self.u64()?,
            total_vm: self.u64()?,
            brk: self.u64()?,
            lost: self.u64()?,
            map_count: self.u32()?,
            nr: self.u32()?.cast_signed(),
            count: self.u32()?,
            class: self.u32()?,
        })
    }

    fn vma(&mut self) -> Option<Vma> {
        Some(Vma {
            start: self.u64()?,
            end: self.u64()?,
            pgoff: self.u64()?,
            flags: self.u64()?,
            inode: self.u64()?,
            id: self.u64()?,
            dev: self.u32()?,
            generation: self.u32()?,
            kind: self.u32()?,
            reserved: self.u32()?,
        })
    }

    fn iter_entry(&mut self) -> Option<IterEntry> {
        Some(IterEntry {
            version: self.u64()?,
            space: self.u64()?,
            total_vm: self.u64()?,
            brk: self.u64()?,
            start_brk: self.u64()?,
            start_stack: self.u64()?,
            key: self.u64()?,
            map_count: self.u32()?,
            pid: self.u32()?,
            vma: self.vma()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use pmap_ebpf::{HEADER_LEN, SECTION_LEN};
    use proptest::prelude::*;

    use super::*;

    fn section_bytes(count: u32, vmas: usize) -> Vec<u8> {
        let mut bytes = vec![0; HEADER_LEN + SECTION_LEN + vmas * VMA_LEN];
        bytes[..2].copy_from_slice(&kinds::SECTION.to_ne_bytes());
        bytes[2..4].copy_from_slice(&ABI.to_ne_bytes());
        let at = HEADER_LEN + 56;
        bytes[at..at + 4].copy_from_slice(&count.to_ne_bytes());
        bytes
    }

    /// Check that a section hands out as many mappings as it counts.
    #[test]
    fn a_section_has_its_mappings() {
        let bytes = section_bytes(2, 3);
        let Body::Section(section, vmas) = decode(&bytes).unwrap().body else { panic!() };
        assert_eq!(section.count, 2);
        assert_eq!(vmas.len(), 2);
        assert_eq!(vmas.count(), 2);
    }

    /// Check that a section that claims more mappings than its bytes hold is not believed.
    #[test]
    fn a_short_section_is_unknown() {
        assert!(matches!(decode(&section_bytes(4, 3)).unwrap().body, Body::Unknown));
        assert!(matches!(decode(&section_bytes(u32::MAX, 3)).unwrap().body, Body::Unknown));
    }

    /// Check that a record of another version is not read with this one's layout.
    #[test]
    fn another_version_is_unknown() {
        let mut bytes = section_bytes(0, 0);
        bytes[2] = bytes[2].wrapping_add(1);
        assert!(matches!(decode(&bytes).unwrap().body, Body::Unknown));
    }

    proptest! {
        /// Check that no bytes make the decoder panic or hand out more than there is.
        #[test]
        fn any_bytes_decode(bytes in prop::collection::vec(any::<u8>(), 0..1024), kind in 0u16..9) {
            let mut bytes = bytes;
            if bytes.len() >= 4 {
                bytes[..2].copy_from_slice(&kind.to_ne_bytes());
                bytes[2..4].copy_from_slice(&ABI.to_ne_bytes());
            }
            if let Some(Record { body: Body::Section(section, vmas), .. }) = decode(&bytes) {
                prop_assert_eq!(vmas.count(), section.count as usize);
            }
            prop_assert_eq!(decode_iter(&bytes).len(), bytes.len() / ITER_LEN);
        }
    }
}
