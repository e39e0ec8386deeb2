//! The results of watched calls, from the returns of the kernel's functions for them: one link for
//! them all, and no other call of the machine is any slower.
//!
//! aya has neither the program's attach type nor the link, so both are made here, by `bpf(2)`.

use std::{
    collections::HashSet,
    ffi::CString,
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
};

use aya::{Ebpf, maps::Map};

use super::{
    bpf::{self, Command},
    btf::Btf,
    load::insist,
    results::functions,
};

/// The program's name in the object.
pub(super) const PROGRAM: &str = "returned";

/// `BPF_PROG_TYPE_KPROBE`, `BPF_TRACE_KPROBE_MULTI` and `BPF_F_KPROBE_MULTI_RETURN` of
/// `include/uapi/linux/bpf.h`.
const TYPE_KPROBE: u32 = 2;
const TRACE_KPROBE_MULTI: u32 = 42;
const RETURN: u32 = 1;

/// The program and its link. Dropped, they are gone.
pub(super) struct Returns {
    program: OwnedFd,
    link: OwnedFd,
}

impl Returns {
    /// Loads the program of an object whose maps are those of `ebpf`, and lets it watch every watched
    /// function that this kernel has.
    ///
    /// # Errors
    /// What the kernel answers.
    pub(super) fn attach(object: &[u8], ebpf: &Ebpf, types: &Btf) -> io::Result<Self> {
        let program = load(object, ebpf)?;
        let (functions, _) = functions(types);
        let names: Vec<CString> =
            functions.into_iter().map(CString::new).collect::<Result<_, _>>()?;
        let pointers: Vec<u64> = names.iter().map(|name| name.as_ptr() as u64).collect();
        let attributes = LinkAttributes {
            program: program.as_raw_fd().cast_unsigned(),
            target: 0,
            attach_type: TRACE_KPROBE_MULTI,
            flags: 0,
            how: RETURN,
            count: u32::try_from(pointers.len()).map_err(io::Error::other)?,
            symbols: pointers.as_ptr() as u64,
            addresses: 0,
            cookies: 0,
        };
        // SAFETY: the attributes of such a link; as many pointers as it says, to strings that end.
        let link = unsafe { bpf::create(Command::LinkCreate, &attributes)? };
        Ok(Self { program, link })
    }

    /// How many returns the program did not see: of any process.
    pub(super) fn missed(&self) -> u64 {
        /// The word of `struct bpf_link_info` that is `kprobe_multi.missed`.
        const MISSED: usize = 4;
        let link = bpf::info::<{ MISSED + 1 }>(self.link.as_fd());
        link[MISSED] + bpf::recursion_misses(self.program.as_fd())
    }
}

/// The part of `union bpf_attr` that is `link_create`, its member `kprobe_multi`.
#[repr(C)]
struct LinkAttributes {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    how: u32,
    count: u32,
    symbols: u64,
    addresses: u64,
    cookies: u64,
}

/// The beginning of the part of `union bpf_attr` that loads a program.
#[repr(C)]
struct LoadAttributes {
    program_type: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
}

fn load(object: &[u8], ebpf: &Ebpf) -> io::Result<OwnedFd> {
    let mut object = aya_obj::Object::parse(object).map_err(io::Error::other)?;
    let sections: HashSet<usize> = object.functions.keys().map(|(section, _)| *section).collect();
    let maps = std::mem::take(&mut object.maps);
    let maps = maps.iter().filter_map(|(name, map)| Some((name.as_str(), fd(ebpf, name)?, map)));
    object.relocate_maps(maps, &sections).map_err(io::Error::other)?;
    object.relocate_calls(&sections).map_err(io::Error::other)?;
    let program = object.programs.get(PROGRAM).ok_or(io::ErrorKind::NotFound)?;
    let function = object.functions.get(&program.function_key()).ok_or(io::ErrorKind::NotFound)?;
    let mut name = [0; 16];
    name[..PROGRAM.len()].copy_from_slice(PROGRAM.as_bytes());
    let attributes = LoadAttributes {
        program_type: TYPE_KPROBE,
        count: u32::try_from(function.instructions.len()).map_err(io::Error::other)?,
        instructions: function.instructions.as_ptr() as u64,
        license: program.license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log: 0,
        kernel_version: 0,
        flags: 0,
        name,
        interface: 0,
        attach_type: TRACE_KPROBE_MULTI,
    };
    // SAFETY: the attributes of a program: its instructions, as many as it says, and a licence that
    // ends.
    insist(|| unsafe { bpf::create(Command::ProgLoad, &attributes) })
}

/// The descriptor of a map.
fn fd(ebpf: &Ebpf, name: &str) -> Option<RawFd> {
    match ebpf.map(name)? {
        Map::Array(map)
        | Map::HashMap(map)
        | Map::LruHashMap(map)
        | Map::PerCpuArray(map)
        | Map::RingBuf(map) => Some(map.fd().as_fd().as_raw_fd()),
        _ => None,
    }
}
