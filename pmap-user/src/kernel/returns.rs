//! The results of watched calls, from the returns of the kernel's functions for them: one link for
//! them all, and no other call of the machine is any slower.
//!
//! aya has neither the program's attach type nor the link, so both are made here, by `bpf(2)`.

use std::{
    collections::HashSet,
    ffi::{CStr, CString},
    fs, io,
    mem::size_of_val,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd},
};

use aya::{Ebpf, maps::Map};

use super::{
    bpf::{self, Command},
    btf::Btf,
};
use crate::syscalls::{Syscall, WATCHED};

/// The program's name in the object.
pub(super) const PROGRAM: &str = "returned";

/// The link, a structure that only a kernel with `CONFIG_FPROBE` has.
const LINK: &str = "bpf_kprobe_multi_link";

/// Where a kernel built with `CONFIG_PREEMPT_DYNAMIC` shows its choice in brackets.
const PREEMPTION: &str = "/sys/kernel/debug/sched/preempt";

/// `BPF_PROG_TYPE_KPROBE`, `BPF_TRACE_KPROBE_MULTI` and `BPF_F_KPROBE_MULTI_RETURN` of
/// `include/uapi/linux/bpf.h`.
const TYPE_KPROBE: u32 = 2;
const TRACE_KPROBE_MULTI: u32 = 42;
const RETURN: u32 = 1;

/// Where a system call's result comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// The returns of the watched functions.
    Functions,
    /// The tracepoint `sys_exit`, which takes every call of the machine on a slower way.
    SysExit,
}

/// The facts that decide it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResultFacts {
    /// Whether one link can watch the returns of many functions: `CONFIG_FPROBE`, 5.18.
    pub link: bool,
    /// Whether the kernel tells how many returns were missed: 6.7.
    pub counted: bool,
    /// Whether the functions of all watched calls are known that every kernel has.
    pub known: bool,
    /// Whether a thread may be preempted inside the kernel, or nothing tells. In the middle of a
    /// `bpf(2)` call, as ours are, nobody's program on a function runs on that CPU then
    /// (`bpf_prog_active`).
    pub preempted: bool,
}

/// Where results come from: the cheapest that loses nothing unseen.
pub fn choose_results(facts: ResultFacts) -> Results {
    let ResultFacts { link, counted, known, preempted } = facts;
    if link && counted && known && !preempted { Results::Functions } else { Results::SysExit }
}

/// The names that a call's function may have: for 64-bit programs, then for 32-bit ones.
///
/// `arch/x86/include/asm/syscall_wrapper.h`: a call without arguments is the same for both.
fn names(call: &Syscall) -> [Vec<String>; 2] {
    let name = call.name;
    let both = (call.arguments == 0).then(|| format!("__do_sys_{name}"));
    let native = both.clone().into_iter().chain([format!("__x64_sys_{name}")]);
    let compat = match name {
        "mmap" => vec!["__ia32_sys_mmap_pgoff".to_owned()],
        "old_mmap" => vec!["__ia32_compat_sys_ia32_mmap".to_owned()],
        _ => both
            .into_iter()
            .chain(
                ["compat_sys_ia32", "compat_sys", "sys"]
                    .map(|kind| format!("__ia32_{kind}_{name}")),
            )
            .collect(),
    };
    let native = if call.native.is_some() { native.collect() } else { Vec::new() };
    [native, if call.compat.is_some() { compat } else { Vec::new() }]
}

/// Every name to be looked up in the kernel's types.
pub(super) fn wanted() -> impl Iterator<Item = String> {
    let functions = WATCHED.iter().flat_map(names).flatten();
    functions.chain([LINK.to_owned(), "bpf_link_info".to_owned()])
}

/// What the kernel and its types say.
pub(super) fn facts(types: &Btf) -> ResultFacts {
    ResultFacts {
        link: types.structure(LINK).is_some(),
        counted: types.member("bpf_link_info", "kprobe_multi.missed").is_some(),
        known: functions(types).1,
        preempted: !is_voluntary(fs::read_to_string(PREEMPTION).ok().as_deref(), &build()),
    }
}

/// Whether threads leave a CPU only where the kernel lets them, by its choice of `none`, `voluntary`,
/// `full` and `lazy`, or else by what it was built with.
fn is_voluntary(chosen: Option<&str>, build: &str) -> bool {
    match chosen {
        Some(modes) => modes.contains("(none)") || modes.contains("(voluntary)"),
        None => !build.is_empty() && !build.contains("PREEMPT"),
    }
}

/// How the kernel was built, as in `uname -v`; empty where it does not say.
fn build() -> String {
    // SAFETY: bytes only, for which zero is a value.
    let mut names: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: room for what the call fills in: strings that end.
    let version = unsafe {
        libc::uname(&raw mut names);
        CStr::from_ptr(names.version.as_ptr())
    };
    version.to_string_lossy().into_owned()
}

/// The functions of the watched calls, and whether none is missing that every kernel has.
pub(super) fn functions(types: &Btf) -> (Vec<String>, bool) {
    let mut functions: Vec<String> = Vec::new();
    let mut known = true;
    for call in WATCHED {
        for candidates in names(call) {
            if candidates.is_empty() {
                continue;
            }
            match candidates.into_iter().find(|name| types.function(name).is_some()) {
                Some(name) if functions.contains(&name) => {}
                Some(name) => functions.push(name),
                None => known &= is_optional(call.name),
            }
        }
    }
    (functions, known)
}

/// Calls that a kernel may lack: for its age, its configuration, or on a machine of one node.
fn is_optional(name: &str) -> bool {
    const OPTIONAL: &[&str] = &[
        "pkey_mprotect",
        "process_madvise",
        "mbind",
        "set_mempolicy_home_node",
        "mseal",
        "shmat",
        "shmdt",
        "ipc",
        "io_setup",
        "io_destroy",
        "map_shadow_stack",
        "remap_file_pages",
    ];
    OPTIONAL.contains(&name)
}

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
    debug_assert_eq!(size_of_val(&function.instructions[0]), 8);
    loop {
        // SAFETY: the attributes of a program: its instructions, as many as it says, and a licence
        // that ends.
        match unsafe { bpf::create(Command::ProgLoad, &attributes) } {
            // A signal, for which the verifier gives up.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {}
            result => return result,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that results come from functions only where all of them are known, and none is lost
    /// unseen.
    #[test]
    fn functions_where_nothing_is_lost_unseen() {
        let all = ResultFacts { link: true, counted: true, known: true, preempted: false };
        assert_eq!(choose_results(all), Results::Functions);
        for less in [
            ResultFacts { link: false, ..all },
            ResultFacts { counted: false, ..all },
            ResultFacts { known: false, ..all },
            ResultFacts { preempted: true, ..all },
        ] {
            assert_eq!(choose_results(less), Results::SysExit);
        }
    }

    /// Check that a kernel that does not tell counts as one that preempts.
    #[test]
    fn voluntary_kernels() {
        assert!(is_voluntary(Some("none (voluntary) full \n"), "#1 SMP PREEMPT_DYNAMIC Debian"));
        assert!(!is_voluntary(Some("none voluntary (full) \n"), "#1 SMP PREEMPT_DYNAMIC Debian"));
        assert!(!is_voluntary(Some("full (lazy) \n"), "#1 SMP PREEMPT_DYNAMIC Debian"));
        assert!(!is_voluntary(None, "#1 SMP PREEMPT_DYNAMIC Debian"));
        assert!(!is_voluntary(None, ""));
        assert!(is_voluntary(None, "#1 SMP Debian"));
    }

    /// Check the names of functions that are not made as most are.
    #[test]
    fn names_of_functions() {
        let of = |name: &str| {
            let call = WATCHED.iter().find(|call| call.name == name).expect("it is watched");
            names(call).map(|names| names.into_iter().next().unwrap_or_default())
        };
        assert_eq!(of("mmap"), ["__x64_sys_mmap", "__ia32_sys_mmap_pgoff"]);
        assert_eq!(of("old_mmap"), ["", "__ia32_compat_sys_ia32_mmap"]);
        assert_eq!(of("fork"), ["__do_sys_fork", "__do_sys_fork"]);
        assert_eq!(of("munmap"), ["__x64_sys_munmap", "__ia32_compat_sys_ia32_munmap"]);
    }
}
