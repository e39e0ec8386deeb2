//! The layouts of the running kernel's structures, from its BTF.
//!
//! Reads the format of `Documentation/bpf/btf.rst`; refuses to guess: what is not there is `None`.

use std::{
    collections::{HashMap, HashSet},
    fs, io,
};

/// Where a kernel with `CONFIG_DEBUG_INFO_BTF` shows its types.
const PATH: &str = "/sys/kernel/btf/vmlinux";

const MAGIC: u16 = 0xeb9f;

/// Kinds of types that are looked at; `include/uapi/linux/btf.h`.
mod kind {
    pub(super) const INT: u32 = 1;
    pub(super) const ARRAY: u32 = 3;
    pub(super) const STRUCT: u32 = 4;
    pub(super) const UNION: u32 = 5;
    pub(super) const ENUM: u32 = 6;
    pub(super) const TYPEDEF: u32 = 8;
    pub(super) const VOLATILE: u32 = 9;
    pub(super) const CONST: u32 = 10;
    pub(super) const RESTRICT: u32 = 11;
    pub(super) const FUNC: u32 = 12;
    pub(super) const FUNC_PROTO: u32 = 13;
    pub(super) const VAR: u32 = 14;
    pub(super) const DATASEC: u32 = 15;
    pub(super) const DECL_TAG: u32 = 17;
    pub(super) const TYPE_TAG: u32 = 18;
    pub(super) const ENUM64: u32 = 19;
}

/// The kernel's types.
pub(super) struct Btf {
    bytes: Vec<u8>,
    strings: usize,
    /// Where each type begins; the first is no type.
    types: Vec<u32>,
    /// The wanted structures, functions and type definitions; the first of each name.
    names: HashMap<(u32, String), u32>,
}

/// A member of a structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Bytes from the start of the structure.
    pub(super) offset: u32,
    /// Its type.
    type_id: u32,
}

impl Btf {
    /// Reads the kernel's types, of which those with a name in `wanted` can be looked up: the
    /// kernel has more than a hundred thousand, and start-up is not the time to index them all.
    ///
    /// # Errors
    /// When the file cannot be read, or is not BTF of this machine's byte order.
    pub(super) fn read(wanted: &[String]) -> io::Result<Self> {
        Self::parse(fs::read(PATH)?, wanted)
            .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    fn parse(bytes: Vec<u8>, wanted: &[String]) -> Option<Self> {
        let wanted: HashSet<&[u8]> = wanted.iter().map(|name| name.as_bytes()).collect();
        let longest = wanted.iter().map(|name| name.len()).max().unwrap_or(0);
        let half = |at: usize| Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
        let word = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        if half(0)? != MAGIC {
            return None;
        }
        let header = word(4)? as usize;
        let mut at = header.checked_add(word(8)? as usize)?;
        let end = at.checked_add(word(12)? as usize)?;
        let strings = header.checked_add(word(16)? as usize)?;
        let mut types = vec![0];
        let mut names = HashMap::new();
        while at < end {
            let id = u32::try_from(types.len()).ok()?;
            types.push(u32::try_from(at).ok()?);
            let (name, info) = (word(at)?, word(at + 4)?);
            let (kind, len) = (info >> 24 & 31, info as usize & 0xffff);
            if name != 0 && matches!(kind, kind::STRUCT | kind::FUNC | kind::TYPEDEF) {
                let text = bytes.get(strings + name as usize..)?;
                let text = &text[..text.len().min(longest + 1)];
                let text = &text[..text.iter().position(|b| *b == 0).unwrap_or(0)];
                if wanted.contains(text) {
                    let text = String::from_utf8_lossy(text).into_owned();
                    names.entry((kind, text)).or_insert(id);
                }
            }
            at += 12
                + match kind {
                    kind::INT | kind::VAR | kind::DECL_TAG => 4,
                    kind::ARRAY => 12,
                    kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12 * len,
                    kind::ENUM | kind::FUNC_PROTO => 8 * len,
                    _ => 0,
                };
        }
        Some(Self { bytes, strings, types, names })
    }

    fn word(&self, at: usize) -> Option<u32> {
        Some(u32::from_ne_bytes(self.bytes.get(at..at + 4)?.try_into().ok()?))
    }

    fn name_is(&self, offset: u32, name: &str) -> bool {
        let at = self.strings + offset as usize;
        self.bytes.get(at..at + name.len()) == Some(name.as_bytes())
            && self.bytes.get(at + name.len()) == Some(&0)
    }

    fn find(&self, kind: u32, name: &str) -> Option<u32> {
        self.names.get(&(kind, name.to_owned())).copied()
    }

    /// Id of a structure.
    pub(super) fn structure(&self, name: &str) -> Option<u32> {
        self.find(kind::STRUCT, name)
    }

    /// Id of a function.
    pub(super) fn function(&self, name: &str) -> Option<u32> {
        self.find(kind::FUNC, name)
    }

    /// How many arguments a tracepoint has, its context not counted; `name` begins with
    /// `btf_trace_`.
    pub(super) fn tracepoint_arguments(&self, name: &str) -> Option<usize> {
        let typedef = self.find(kind::TYPEDEF, name)?;
        let pointer = self.inner(typedef)?;
        let (_, len) = self.head(self.inner(pointer)?)?;
        len.checked_sub(1)
    }

    /// Kind and length of a type.
    fn head(&self, id: u32) -> Option<(u32, usize)> {
        let info = self.word(*self.types.get(id as usize)? as usize + 4)?;
        Some((info >> 24 & 31, info as usize & 0xffff))
    }

    /// The type that a pointer, a typedef or a qualifier leads to.
    fn inner(&self, id: u32) -> Option<u32> {
        self.word(*self.types.get(id as usize)? as usize + 8)
    }

    /// A type without its qualifiers and other names.
    fn bare(&self, mut id: u32) -> Option<u32> {
        // A chain this long is no chain of the kernel's.
        for _ in 0..32 {
            match self.head(id)?.0 {
                kind::TYPEDEF | kind::CONST | kind::VOLATILE | kind::RESTRICT | kind::TYPE_TAG => {
                    id = self.inner(id)?
                }
                _ => return Some(id),
            }
        }
        None
    }

    /// Size of a structure or union, in bytes.
    pub(super) fn size(&self, name: &str) -> Option<u32> {
        self.inner(self.structure(name)?)
    }

    /// A member, by its way through nested structures: `mm_mt.ma_root`.
    pub(super) fn member(&self, structure: &str, way: &str) -> Option<Member> {
        let mut at = Member { offset: 0, type_id: self.structure(structure)? };
        for name in way.split('.') {
            let found = self.search(self.bare(at.type_id)?, name, 0)?;
            at = Member { offset: at.offset + found.offset, type_id: found.type_id };
        }
        Some(at)
    }

    /// A member of a structure or union, also of those without a name inside it.
    fn search(&self, id: u32, name: &str, depth: u32) -> Option<Member> {
        let at = *self.types.get(id as usize)? as usize;
        let info = self.word(at + 4)?;
        if !matches!(info >> 24 & 31, kind::STRUCT | kind::UNION) || depth > 16 {
            return None;
        }
        let bit_fields = info >> 31 == 1;
        for i in 0..info as usize & 0xffff {
            let member = at + 12 + 12 * i;
            let (text, type_id, place) =
                (self.word(member)?, self.word(member + 4)?, self.word(member + 8)?);
            // With `kind_flag` the top byte is the width of a bit field.
            let (bits, width) =
                if bit_fields { (place & 0x00ff_ffff, place >> 24) } else { (place, 0) };
            if text == 0 {
                let bare = self.bare(type_id)?;
                if let Some(found) = self.search(bare, name, depth + 1) {
                    return Some(Member { offset: bits / 8 + found.offset, ..found });
                }
            } else if width == 0 && bits % 8 == 0 && self.name_is(text, name) {
                return Some(Member { offset: bits / 8, type_id });
            }
        }
        None
    }

    /// Elements of an array.
    pub(super) fn elements(&self, member: Member) -> Option<u32> {
        let id = self.bare(member.type_id)?;
        let at = *self.types.get(id as usize)? as usize;
        (self.head(id)?.0 == kind::ARRAY).then(|| self.word(at + 20))?
    }
}
