//! Which programs hang on which tracepoints: a function of what the kernel is.

use super::results::Results;

/// What decides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HookFacts {
    /// Whether the lock's tracepoints carry a `memcg_path`.
    pub memcg_path: bool,
    /// Whether a program may be preempted in its middle: since 7.0 (`__DECLARE_TRACE` of
    /// `include/linux/tracepoint.h`).
    pub preemptible: bool,
    /// Whether the kernel counts write sections itself: `mm_lock_seq` is a `seqcount_t` (6.14).
    pub counted: bool,
    /// Where results come from.
    pub results: Results,
}

/// A program and the tracepoint that it hangs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Its name in the object.
    pub program: &'static str,
    /// The tracepoint's, as in `tp_btf/NAME`.
    pub tracepoint: &'static str,
}

impl Hook {
    /// Whether it does what another program did not run for.
    pub fn is_second(&self) -> bool {
        self.program.ends_with("_again")
    }

    /// Whether it tells results.
    pub fn tells_results(&self) -> bool {
        self.tracepoint == "sys_exit"
    }
}

const fn hook(program: &'static str, tracepoint: &'static str) -> Hook {
    Hook { program, tracepoint }
}

const LOCK: [Hook; 2] =
    [hook("released", "mmap_lock_released"), hook("acquired", "mmap_lock_acquire_returned")];

const LOCK_MEMCG: [Hook; 2] = [
    hook("released_memcg", "mmap_lock_released"),
    hook("acquired_memcg", "mmap_lock_acquire_returned"),
];

const OTHERS: [Hook; 6] = [
    hook("unmapped_area", "vm_unmapped_area"),
    hook("exit_mmap", "exit_mmap"),
    hook("exec", "sched_process_exec"),
    hook("fork", "sched_process_fork"),
    hook("exit", "sched_process_exit"),
    hook("sys_exit", "sys_exit"),
];

const AGAIN: [Hook; 8] = [
    hook("released_again", "mmap_lock_released"),
    hook("acquired_again", "mmap_lock_acquire_returned"),
    hook("unmapped_area_again", "vm_unmapped_area"),
    hook("exit_mmap_again", "exit_mmap"),
    hook("exec_again", "sched_process_exec"),
    hook("fork_again", "sched_process_fork"),
    hook("exit_again", "sched_process_exit"),
    hook("sys_exit_again", "sys_exit"),
];

/// The hooks to use. While a program is preempted it does not run for anybody else on that CPU, so
/// where that can be each comes twice; the second sees by the kernel's own count of write sections
/// what the first has done.
pub fn hooks(facts: HookFacts) -> impl Iterator<Item = Hook> {
    let HookFacts { memcg_path, preemptible, counted, results } = facts;
    let lock = if memcg_path { LOCK_MEMCG } else { LOCK };
    let again = if preemptible && counted && !memcg_path { &AGAIN[..] } else { &[] };
    lock.into_iter()
        .chain(OTHERS)
        .chain(again.iter().copied())
        .filter(move |hook| results == Results::SysExit || !hook.tells_results())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn programs(memcg_path: bool, preemptible: bool, counted: bool) -> Vec<&'static str> {
        let results = Results::SysExit;
        let facts = HookFacts { memcg_path, preemptible, counted, results };
        hooks(facts).map(|hook| hook.program).collect()
    }

    /// Check that nothing hangs on every system call where results come from functions.
    #[test]
    fn functions_spare_the_other_calls() {
        for preemptible in [false, true] {
            let all = HookFacts {
                memcg_path: false,
                preemptible,
                counted: true,
                results: Results::SysExit,
            };
            let less: Vec<Hook> = hooks(HookFacts { results: Results::Functions, ..all }).collect();
            let spared: Vec<Hook> = hooks(all).filter(|hook| !less.contains(hook)).collect();
            assert!(spared.iter().all(|hook| hook.tracepoint == "sys_exit"));
            assert_eq!(spared.len(), if preemptible { 2 } else { 1 });
        }
    }

    /// Check that each form of the lock's tracepoints has its own programs, once.
    #[test]
    fn the_lock_has_two_forms() {
        let (old, new) = (programs(true, false, false), programs(false, false, true));
        assert_eq!(old[..2], ["released_memcg", "acquired_memcg"]);
        assert_eq!(new[..2], ["released", "acquired"]);
        assert_eq!(old[2..], new[2..]);
        assert!(!new.iter().any(|program| program.ends_with("_again")));
    }

    /// Check that second programs come where the first may be preempted, and only where they can know
    /// what the first has done.
    #[test]
    fn second_programs_need_a_count() {
        assert_eq!(programs(false, true, true).len(), 8 + AGAIN.len());
        assert_eq!(programs(false, true, false).len(), 8);
        for Hook { program, tracepoint } in AGAIN {
            let first = program.strip_suffix("_again");
            assert!(
                LOCK.iter()
                    .chain(&OTHERS)
                    .any(|hook| Some(hook.program) == first && hook.tracepoint == tracepoint)
            );
        }
    }
}
