//! What one mapping is called: `PROCMAP_QUERY` (6.11 and later), or the line of maps.

use std::fs::File;
use std::io::{Seek as _, SeekFrom};
use std::os::fd::AsRawFd as _;

use super::{Rows as _, maps};
use crate::model::Device;

/// `struct procmap_query` of `include/uapi/linux/fs.h`.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    vma_flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    name_size: u32,
    build_id_size: u32,
    name_address: u64,
    build_id_address: u64,
}

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: libc::c_ulong = 0xc068_6611;
/// A path, its ` (deleted)` and a NUL.
const NAME_SIZE: usize = 4096 + 16;

/// What `/proc` says of one mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// First address, in bytes.
    pub start: u64,
    /// First address after it, in bytes.
    pub end: u64,
    /// Device of its file.
    pub device: Device,
    /// Inode of its file.
    pub inode: u64,
    /// As the last column of maps.
    pub name: Vec<u8>,
}

/// Asks for the names of mappings of one address space, also after its process began another.
#[derive(Debug)]
pub struct Names {
    maps: File,
    /// Whether the kernel has the query.
    query: bool,
}

impl Names {
    /// Through an open `/proc/PID/maps`.
    pub fn new(maps: File) -> Self {
        Self { maps, query: true }
    }

    /// What stands at each address, in their order; `None` where nothing does.
    pub fn at(&mut self, addresses: &[u64]) -> Vec<Option<Named>> {
        if self.query {
            let mut found = Vec::with_capacity(addresses.len());
            for address in addresses {
                match self.ask(*address) {
                    Ok(named) => found.push(Some(named)),
                    Err(libc::ENOENT | libc::ESRCH) => found.push(None),
                    Err(_) => {
                        self.query = false;
                        break;
                    }
                }
            }
            if self.query {
                return found;
            }
        }
        let mut found = vec![None; addresses.len()];
        self.each(|named| {
            for (address, place) in addresses.iter().zip(&mut found) {
                if (named.start..named.end).contains(address) {
                    *place = Some(named.clone());
                }
            }
        });
        found
    }

    /// Every mapping, as maps has them; what cannot be read is left out.
    pub fn each(&mut self, mut each: impl FnMut(Named)) {
        if self.maps.seek(SeekFrom::Start(0)).is_err() {
            return;
        }
        let mut rows = maps::Reader::new(&self.maps);
        while let Ok(Some((mapping, _))) = rows.next_row() {
            each(Named {
                start: mapping.start,
                end: mapping.end,
                device: mapping.device,
                inode: mapping.inode,
                name: mapping.name.to_vec(),
            });
        }
    }

    fn ask(&self, address: u64) -> Result<Named, i32> {
        let mut name = vec![0u8; NAME_SIZE];
        let mut query = Query {
            size: size_of::<Query>() as u64,
            address,
            name_size: NAME_SIZE as u32,
            name_address: name.as_mut_ptr() as u64,
            ..Query::default()
        };
        // SAFETY: the kernel reads and fills the structure, and `name` up to its size.
        let result = unsafe { libc::ioctl(self.maps.as_raw_fd(), PROCMAP_QUERY, &raw mut query) };
        if result < 0 {
            return Err(std::io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
        }
        // The size counts the NUL; zero is no name at all.
        name.truncate((query.name_size as usize).saturating_sub(1));
        Ok(Named {
            start: query.start,
            end: query.end,
            device: Device { major: query.dev_major, minor: query.dev_minor },
            inode: query.inode,
            name: escape_newlines(name),
        })
    }
}

/// The query gives names as they are; maps has `\012` for a newline (`seq_path`).
fn escape_newlines(name: Vec<u8>) -> Vec<u8> {
    if !name.contains(&b'\n') {
        return name;
    }
    let mut escaped = Vec::with_capacity(name.len() + 8);
    for byte in name {
        if byte == b'\n' {
            escaped.extend_from_slice(b"\\012");
        } else {
            escaped.push(byte);
        }
    }
    escaped
}
