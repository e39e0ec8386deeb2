//! What names a mapping: identities from the kernel, and the names that were found for them.

use std::collections::HashMap;

use pmap_ebpf::{Vma, links, vma_kinds};

use crate::{model::Device, record::Named, table::What};

/// Files of the kernel's own mounts that `simple_dname` of `fs/d_path.c` names: a slash, the name, and
/// ` (deleted)`, since no folder has them.
const NAMED_AS_DELETED: [&[u8]; 4] = [b"memfd:", b"SYSV", b"dev/zero", b"anon_hugepage"];

/// What the kernel knows a mapping's name by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    kind: u32,
    id: u64,
    inode: u64,
    dev: u32,
    generation: u32,
}

impl FileKey {
    fn of_vma(vma: &Vma) -> Self {
        let Vma { kind, id, inode, dev, generation, .. } = *vma;
        Self { kind, id, inode, dev, generation }
    }

    fn of_name(name: &Named<'_>) -> Self {
        let Named { kind, id, inode, dev, generation, .. } = *name;
        Self { kind, id, inode, dev, generation }
    }
}

/// Something that names mappings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whether it is the kernel's or a driver's own, so that where it lies names nothing.
    pub special: bool,
    /// Device of the file, as `/proc/PID/maps` shows it.
    pub device: Device,
    /// Inode of the file, as `/proc/PID/maps` shows it.
    pub inode: u64,
    /// The text of `/proc/PID/maps` behind the inode; `None` until it was looked up.
    pub text: Option<Box<[u8]>>,
    /// The last component of the path, as the kernel had it when the mapping appeared, in a
    /// folder `/?/`, which nobody knows.
    pub base: Option<Box<[u8]>>,
}

/// Every identity that was seen; the first is that of plain anonymous memory.
#[derive(Debug)]
pub struct Files {
    identities: Vec<Identity>,
    indices: HashMap<FileKey, What>,
    /// Seen for the first time, and by which mapping: to be looked up.
    fresh: Vec<(What, u64, u64)>,
}

impl Default for Files {
    fn default() -> Self {
        let anonymous = Identity {
            special: false,
            device: Device::default(),
            inode: 0,
            text: Some(Box::default()),
            base: None,
        };
        Self { identities: vec![anonymous], indices: HashMap::new(), fresh: Vec::new() }
    }
}

impl Files {
    /// The index of what names a mapping.
    pub fn intern(&mut self, vma: &Vma) -> What {
        if vma.kind == vma_kinds::ANON {
            return What::default();
        }
        let key = FileKey::of_vma(vma);
        if let Some(what) = self.indices.get(&key) {
            return *what;
        }
        let what = self.add(key);
        self.fresh.push((what, vma.start, vma.end));
        what
    }

    /// Takes in a name from the kernel. A name given to anonymous memory may stand where another
    /// stood before.
    pub fn name(&mut self, name: &Named<'_>) {
        let key = FileKey::of_name(name);
        let text = name.text;
        let known = self.indices.get(&key).copied();
        if key.kind == vma_kinds::FILE {
            let what = known.unwrap_or_else(|| self.add(key));
            let identity = &mut self.identities[what.index() as usize];
            if name.link == links::PSEUDO && NAMED_AS_DELETED.iter().any(|p| text.starts_with(p)) {
                identity.text = Some([b"/", text, b" (deleted)"].concat().into());
            } else {
                let gone: &[u8] = if name.link == links::UNLINKED { b" (deleted)" } else { b"" };
                identity.base = Some([b"/?/", text, gone].concat().into());
            }
            return;
        }
        let (before, after): (&[u8], &[u8]) = match key.kind {
            vma_kinds::NAMED => (b"[anon:", b"]"),
            _ => (b"[anon_shmem:", b"]"),
        };
        let text = [before, text, after].concat();
        if let Some(what) = known
            && self.identities[what.index() as usize].text.as_deref() == Some(&text)
        {
            return;
        }
        let what = self.add(key);
        self.identities[what.index() as usize].text = Some(text.into());
    }

    fn add(&mut self, key: FileKey) -> What {
        let index = self.identities.len() as u32;
        let is_file = matches!(key.kind, vma_kinds::FILE | vma_kinds::NAMED_FILE);
        let what = if is_file { What::file(index) } else { What::plain(index) };
        self.identities.push(Identity {
            special: key.kind == vma_kinds::SPECIAL,
            // The kernel's `dev_t`: `include/linux/kdev_t.h`.
            device: Device { major: key.dev >> 20, minor: key.dev & 0xf_ffff },
            inode: key.inode,
            text: None,
            base: None,
        });
        self.indices.insert(key, what);
        what
    }

    /// What an index stands for.
    pub fn get(&self, what: What) -> &Identity {
        &self.identities[what.index() as usize]
    }

    /// Notes what `/proc` says of an identity.
    pub fn note(&mut self, what: What, device: Device, inode: u64, text: &[u8]) {
        let identity = &mut self.identities[what.index() as usize];
        if identity.text.as_deref() != Some(text) {
            identity.text = Some(text.into());
        }
        identity.device = device;
        identity.inode = inode;
    }

    /// Takes the identities that nobody looked up yet, each with the addresses of a mapping.
    pub fn take_fresh(&mut self) -> Vec<(What, u64, u64)> {
        std::mem::take(&mut self.fresh)
    }
}
