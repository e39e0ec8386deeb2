//! Fills in what the programs must know of the running kernel.

use pmap_ebpf::{Config, Reader};

use super::{btf::Btf, results};

/// What the kernel lacks, as a name that its developers would search for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing(pub String);

/// The facts that decide how memory is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReaderFacts {
    /// BTF id of `bpf_rdonly_cast`, where the kernel has it.
    pub cast: Option<u32>,
    /// Whether `bpf_probe_read_kernel` is allowed (not under `lockdown=confidentiality`).
    pub probe: bool,
    /// Whether the nodes of the mapping tree have the known form.
    pub maple: bool,
}

/// The readers that a kernel allows, the best first: the kfunc before the helper, and none at all
/// everywhere.
pub fn readers(facts: ReaderFacts) -> impl Iterator<Item = Reader> {
    let ReaderFacts { cast, probe, maple } = facts;
    let readers = [
        (Reader::Cast, maple && cast.is_some()),
        (Reader::Probe, maple && probe),
        (Reader::None, true),
    ];
    readers.into_iter().filter_map(|(reader, allowed)| allowed.then_some(reader))
}

/// Which reader the programs use.
pub fn choose_reader(facts: ReaderFacts) -> Reader {
    readers(facts).next().unwrap_or(Reader::None)
}

/// The tracepoints that the programs hang on.
pub(super) const TRACEPOINTS: &[&str] = &[
    "btf_trace_mmap_lock_released",
    "btf_trace_mmap_lock_acquire_returned",
    "btf_trace_vm_unmapped_area",
    "btf_trace_exit_mmap",
    "btf_trace_sys_exit",
    "btf_trace_sched_process_fork",
    "btf_trace_sched_process_exec",
    "btf_trace_sched_process_exit",
];

/// The kernel's function behind [`Reader::Cast`].
pub(super) const CAST: &str = "bpf_rdonly_cast";

/// Every name that is looked up.
pub(super) fn wanted() -> Vec<String> {
    const STRUCTURES: &[&str] = &[
        "task_struct",
        "signal_struct",
        "pid",
        "upid",
        "mm_struct",
        "vm_area_struct",
        "file",
        "inode",
        "super_block",
        "dentry",
        "anon_vma_name",
        "maple_range_64",
        "maple_arange_64",
        "vm_unmapped_area_info",
        "pt_regs",
    ];
    let names = TRACEPOINTS.iter().chain(STRUCTURES).chain([&CAST]).map(|name| (*name).to_owned());
    names.chain(results::wanted()).collect()
}

/// Whether the lock's tracepoints carry a `memcg_path` behind `mm` (up to 6.10, and 6.12).
///
/// # Errors
/// When they have a form that nobody has seen.
pub(super) fn memcg_path(btf: &Btf) -> Result<bool, Missing> {
    match btf.tracepoint_arguments("btf_trace_mmap_lock_released") {
        Some(2) => Ok(false),
        Some(3) => Ok(true),
        _ => Err(Missing("a known form of btf_trace_mmap_lock_released".into())),
    }
}

/// Looks up every offset.
///
/// # Errors
/// Names the first structure, member or tracepoint that this kernel does not have.
pub(super) fn config(btf: &Btf) -> Result<Config, Missing> {
    let at = |structure: &str, member: &str| {
        btf.member(structure, member)
            .map(|m| m.offset)
            .ok_or_else(|| Missing(format!("{structure}.{member}")))
    };
    for name in TRACEPOINTS {
        btf.tracepoint_arguments(name).ok_or_else(|| Missing((*name).into()))?;
    }
    let own_name = btf.member("vm_area_struct", "anon_name").map(|m| m.offset);
    let shared = btf.member("vm_area_struct", "shared").map(|m| m.offset);
    let status = btf.member("task_struct", "thread_info.status").map(|m| m.offset);
    let mut config = Config {
        word_type: btf.structure("vm_area_struct").unwrap_or(0),
        has_compat: u32::from(cfg!(target_arch = "x86_64") && status.is_some()),
        task_mm: at("task_struct", "mm")?,
        task_tgid: at("task_struct", "tgid")?,
        task_pid: at("task_struct", "pid")?,
        task_flags: at("task_struct", "flags")?,
        task_comm: at("task_struct", "comm")?,
        task_thread_pid: at("task_struct", "thread_pid")?,
        task_group_leader: at("task_struct", "group_leader")?,
        task_signal: at("task_struct", "signal")?,
        task_exit_code: at("task_struct", "exit_code")?,
        task_status: status.unwrap_or(0),
        signal_live: at("signal_struct", "live")?,
        signal_group_exit_code: at("signal_struct", "group_exit_code")?,
        pid_depth: at("pid", "level")?,
        pid_numbers: at("pid", "numbers")?,
        upid_size: btf.size("upid").ok_or_else(|| Missing("upid".into()))?,
        mm_root: at("mm_struct", "mm_mt.ma_root")?,
        mm_map_count: at("mm_struct", "map_count")?,
        mm_total_vm: at("mm_struct", "total_vm")?,
        mm_mmap_base: at("mm_struct", "mmap_base")?,
        mm_start_brk: at("mm_struct", "start_brk")?,
        mm_brk: at("mm_struct", "brk")?,
        mm_start_stack: at("mm_struct", "start_stack")?,
        mm_lock_count: at("mm_struct", "mmap_lock.count")?,
        mm_lock_seq: btf.member("mm_struct", "mm_lock_seq.sequence").map_or(0, |m| m.offset),
        vma_start: at("vm_area_struct", "vm_start")?,
        vma_end: at("vm_area_struct", "vm_end")?,
        vma_flags: at("vm_area_struct", "vm_flags")?,
        vma_pgoff: at("vm_area_struct", "vm_pgoff")?,
        vma_file: at("vm_area_struct", "vm_file")?,
        vma_ops: at("vm_area_struct", "vm_ops")?,
        vma_private: at("vm_area_struct", "vm_private_data")?,
        vma_anon_name: own_name.unwrap_or(0),
        has_anon_name: match (own_name, shared) {
            (None, _) => 0,
            (Some(name), Some(shared)) if name == shared => 2,
            _ => 1,
        },
        anon_name_text: btf.member("anon_vma_name", "name").map_or(0, |m| m.offset),
        file_inode: at("file", "f_inode")?,
        file_dentry: at("file", "f_path.dentry")?,
        inode_ino: at("inode", "i_ino")?,
        inode_generation: at("inode", "i_generation")?,
        inode_sb: at("inode", "i_sb")?,
        sb_dev: at("super_block", "s_dev")?,
        dentry_name: at("dentry", "d_name.name").or_else(|_| at("dentry", "__d_name.name"))?,
        dentry_parent: at("dentry", "d_parent")?,
        dentry_hash: at("dentry", "d_hash.pprev")?,
        unmapped_length: at("vm_unmapped_area_info", "length")?,
        ..Config::EMPTY
    };
    maple(btf, &mut config);
    registers(&at, &mut config)?;
    Ok(config)
}

/// The nodes of the mapping tree; leaves `range_slots` at zero where they are unknown.
fn maple(btf: &Btf, config: &mut Config) {
    let fill = || {
        let slots = btf.member("maple_range_64", "slot")?;
        Some(Config {
            range_pivot: btf.member("maple_range_64", "pivot")?.offset,
            range_slot: slots.offset,
            range_slots: btf.elements(slots)?,
            range_end: btf.member("maple_range_64", "meta.end")?.offset,
            arange_pivot: btf.member("maple_arange_64", "pivot")?.offset,
            arange_slot: btf.member("maple_arange_64", "slot")?.offset,
            arange_end: btf.member("maple_arange_64", "meta.end")?.offset,
            ..*config
        })
    };
    // The walk looks at fifteen pivots at the most.
    if let Some(filled) = fill().filter(|c| c.range_slots == 16) {
        *config = filled;
    }
}

/// Where the saved registers keep a system call: `arch/x86/include/asm/syscall.h`.
#[cfg(target_arch = "x86_64")]
fn registers(
    at: &impl Fn(&str, &str) -> Result<u32, Missing>,
    config: &mut Config,
) -> Result<(), Missing> {
    let reg = |name: &str| at("pt_regs", name);
    *config = Config {
        regs_nr: reg("orig_ax")?,
        regs_sp: reg("sp")?,
        regs_a0: reg("di")?,
        regs_a1: reg("si")?,
        regs_a2: reg("dx")?,
        regs_a3: reg("r10")?,
        regs_a4: reg("r8")?,
        regs_a5: reg("r9")?,
        compat_a0: reg("bx")?,
        compat_a1: reg("cx")?,
        compat_a2: reg("dx")?,
        compat_a3: reg("si")?,
        compat_a4: reg("di")?,
        compat_a5: reg("bp")?,
        ..*config
    };
    Ok(())
}

/// Other machines have other registers; nobody has tried them.
#[cfg(not(target_arch = "x86_64"))]
fn registers(
    _: &impl Fn(&str, &str) -> Result<u32, Missing>,
    _: &mut Config,
) -> Result<(), Missing> {
    Err(Missing(format!("pt_regs of {} (only x86_64 is known)", std::env::consts::ARCH)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(cast: Option<u32>, probe: bool, maple: bool) -> ReaderFacts {
        ReaderFacts { cast, probe, maple }
    }

    /// Check that the reader is the best that the facts allow.
    #[test]
    fn the_kfunc_comes_before_the_helper() {
        assert_eq!(choose_reader(facts(Some(7), true, true)), Reader::Cast);
        assert_eq!(choose_reader(facts(Some(7), false, true)), Reader::Cast);
        assert_eq!(choose_reader(facts(None, true, true)), Reader::Probe);
        assert_eq!(choose_reader(facts(None, false, true)), Reader::None);
        assert_eq!(choose_reader(facts(Some(7), true, false)), Reader::None);
    }

    /// Check that a reader that is not the best is still one that may be asked for.
    #[test]
    fn every_reader_that_is_allowed_is_named() {
        let named = |facts| readers(facts).collect::<Vec<_>>();
        assert_eq!(named(facts(Some(7), true, true)), [Reader::Cast, Reader::Probe, Reader::None]);
        assert_eq!(named(facts(Some(7), false, true)), [Reader::Cast, Reader::None]);
        assert_eq!(named(facts(None, true, true)), [Reader::Probe, Reader::None]);
        assert_eq!(named(facts(Some(7), true, false)), [Reader::None]);
    }
}
