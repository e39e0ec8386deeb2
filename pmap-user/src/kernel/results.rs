//! Where the results of watched calls come from: a function of what the kernel is.

use std::{ffi::CStr, fs};

use super::btf::Btf;
use crate::syscalls::{Syscall, WATCHED};

/// The link, a structure that only a kernel with `CONFIG_FPROBE` has.
const LINK: &str = "bpf_kprobe_multi_link";

/// Where a kernel built with `CONFIG_PREEMPT_DYNAMIC` shows its choice in brackets.
const PREEMPTION: &str = "/sys/kernel/debug/sched/preempt";

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
