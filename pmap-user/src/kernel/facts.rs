//! What the running kernel offers, one fact at a time.

use std::{fs, io};

use pmap_ebpf::Config;

use super::{
    btf::Btf,
    hooks::{HookFacts, hooks},
    layout::{self, ReaderFacts},
    results::{self, ResultFacts, Results, choose_results},
    tracer::{Options, probe_allowed},
};

/// Something that this kernel has or lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// What was looked for.
    pub name: String,
    /// What was found.
    pub state: String,
    /// What can be done about it, where it is amiss.
    pub remedy: Option<&'static str>,
}

fn fact(name: &str, state: impl Into<String>) -> Fact {
    Fact { name: name.into(), state: state.into(), remedy: None }
}

fn yes_or(name: &str, there: bool, remedy: &'static str) -> Fact {
    let state = if there { "yes" } else { "no" };
    Fact { remedy: (!there).then_some(remedy), ..fact(name, state) }
}

/// Looks at everything that the programs depend on.
pub fn facts(options: Options) -> Vec<Fact> {
    let lockdown = fs::read_to_string("/sys/kernel/security/lockdown").ok();
    let lockdown = lockdown.as_deref().and_then(|text| {
        let (_, rest) = text.split_once('[')?;
        Some(rest.split_once(']')?.0.to_owned())
    });
    let mut facts = vec![fact("lockdown", lockdown.unwrap_or_else(|| "not shown".into()))];
    let types = match Btf::read(&layout::wanted()) {
        Ok(types) => types,
        Err(error) => {
            facts.push(Fact {
                remedy: Some("a kernel built with CONFIG_DEBUG_INFO_BTF"),
                ..fact("types (/sys/kernel/btf/vmlinux)", error.to_string())
            });
            return facts;
        }
    };
    facts.push(fact("types (/sys/kernel/btf/vmlinux)", "yes"));
    for tracepoint in layout::TRACEPOINTS {
        facts.push(yes_or(
            &format!("tracepoint {}", tracepoint.trim_start_matches("btf_trace_")),
            types.tracepoint_arguments(tracepoint).is_some(),
            "Linux 6.1 or later with CONFIG_TRACING",
        ));
    }
    if let Ok(memcg_path) = layout::memcg_path(&types) {
        let form = if memcg_path { "(mm, memcg_path, write)" } else { "(mm, write)" };
        facts.push(fact("form of the mmap_lock tracepoints", form));
    }
    let config = layout::config(&types);
    facts.push(match &config {
        Ok(_) => fact("fields of the kernel's structures", "all found"),
        Err(missing) => Fact {
            remedy: Some("please report it with this text"),
            ..fact("fields of the kernel's structures", format!("no {}", missing.0))
        },
    });
    let reader = deciding(&types, config.as_ref().ok());
    let ReaderFacts { cast, probe, .. } = reader;
    facts.push(fact("kfunc bpf_rdonly_cast (6.2)", if cast.is_some() { "yes" } else { "no" }));
    facts.push(fact("helper bpf_probe_read_kernel", if probe { "allowed" } else { "locked down" }));
    if let (Ok(config), Ok(memcg_path)) = (&config, layout::memcg_path(&types)) {
        let counted = config.mm_lock_seq != 0;
        let by = if counted { "the kernel (mm_lock_seq, 6.14)" } else { "the programs" };
        facts.push(fact("write sections are counted by", by));
        let preemptible = options.preemptible;
        let results = Results::SysExit;
        let twice = hooks(HookFacts { memcg_path, preemptible, counted, results })
            .any(|hook| hook.is_second());
        facts.push(match (preemptible, twice) {
            (false, _) => fact("programs may be preempted (7.0)", "no"),
            (true, true) => fact("programs may be preempted (7.0)", "yes: each is there twice"),
            (true, false) => Fact {
                remedy: Some("a kernel with CONFIG_PER_VMA_LOCK"),
                ..fact("programs may be preempted (7.0)", "yes, and sections may be missed unseen")
            },
        });
        let reader = layout::choose_reader(reader);
        facts.push(fact("mappings are read inside a write section by", format!("{reader:?}")));
    }
    facts.extend(about_results(&types));
    facts
}

/// Why results come from where they do.
fn about_results(types: &Btf) -> [Fact; 2] {
    let facts = results::facts(types);
    let ResultFacts { link, counted, known, preempted } = facts;
    let state = if !link {
        "no"
    } else if !counted {
        "yes, but returns are missed unseen before 6.7"
    } else if !known {
        "yes, but not all functions are known"
    } else if preempted {
        "yes, but they may be missed: a kernel that preempts, or does not tell"
    } else {
        "yes"
    };
    [
        fact("one link for many functions (CONFIG_FPROBE)", state),
        fact(
            "results of system calls come from",
            match choose_results(facts) {
                Results::Functions => "the watched functions: other calls cost nothing",
                Results::SysExit => "the tracepoint sys_exit, which every call passes",
            },
        ),
    ]
}

/// The facts that decide how mappings are read inside a write section.
///
/// # Errors
/// When the kernel shows no types.
pub fn reader_facts() -> io::Result<ReaderFacts> {
    let types = Btf::read(&layout::wanted())?;
    Ok(deciding(&types, layout::config(&types).ok().as_ref()))
}

/// The facts that decide where results come from.
///
/// # Errors
/// As [`reader_facts`].
pub fn result_facts() -> io::Result<ResultFacts> {
    Ok(results::facts(&Btf::read(&layout::wanted())?))
}

fn deciding(types: &Btf, config: Option<&Config>) -> ReaderFacts {
    ReaderFacts {
        cast: types.function(layout::CAST),
        probe: probe_allowed(),
        maple: config.is_some_and(|config| config.range_slots != 0),
    }
}
