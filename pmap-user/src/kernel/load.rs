//! Puts the object's programs into the kernel, and hangs them where they belong.

use std::{
    error::Error,
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, Instant},
};

use aya::{
    Btf as AyaBtf, Ebpf, EbpfError, EbpfLoader,
    maps::Array,
    programs::{BtfTracePoint, Iter, ProgramError},
};
use pmap_ebpf::Config;

use super::{
    btf::Btf,
    error::{StartError, chain, is_interrupted, is_permission, refused},
    hooks::Hook,
    iter::VmaIterator,
    object,
    results::{self, Results, choose_results},
    returns::{self, Returns},
    syscalls,
};

/// The program that reads mappings on demand.
pub(super) const ITERATOR: &str = "task_vma";

/// How long a program is offered to the verifier again and again.
const INSISTENCE: Duration = Duration::from_secs(10);

/// Slots of the array `SHARED` (see `pmap-ebpf`, `maps.rs`).
pub(super) mod shared {
    pub(in super::super) const FOLLOW: u32 = 0;
    pub(in super::super) const ASLEEP: u32 = 1;
    pub(in super::super) const LOST: u32 = 2;
    pub(in super::super) const ASKED: u32 = 3;
}

/// Takes a map out of the object.
pub(super) fn take<M, E: ToString>(
    ebpf: &mut Ebpf,
    name: &str,
    make: impl FnOnce(aya::maps::Map) -> Result<M, E>,
) -> Result<M, StartError> {
    let refused = |reason: String| StartError::Refused { program: format!("map {name}"), reason };
    let map = ebpf.take_map(name).ok_or_else(|| refused("not in the object".into()))?;
    make(map).map_err(|e| refused(e.to_string()))
}

/// Makes the maps, and the programs ready to be loaded.
pub(super) fn open(
    config: &Config,
    kfunc: u32,
    ring_bytes: u32,
    types: &AyaBtf,
) -> Result<Ebpf, StartError> {
    // SAFETY: `Config` is `repr(C)`, of `u32` only, so every byte of it is initialised.
    let bytes = unsafe {
        std::slice::from_raw_parts((&raw const *config).cast::<u8>(), size_of::<Config>())
    };
    let (native, compat) = (syscalls::native(), syscalls::compat());
    let object = object::with_kfunc(kfunc);
    EbpfLoader::new()
        .btf(Some(types))
        .override_global("CONFIG", bytes, true)
        .override_global("CLASSES", &native[..], true)
        .override_global("COMPAT_CLASSES", &compat[..], true)
        .map_max_entries("RECORDS", ring_bytes)
        .load(&object)
        .map_err(|e| match e {
            EbpfError::MapError(e) if is_permission(&e) => StartError::Permission(e.to_string()),
            e => StartError::Refused { program: "object".into(), reason: chain(&e) },
        })
}

/// Watches the functions of the watched calls, where that is the way to their results.
pub(super) fn attach_returns(
    ebpf: &Ebpf,
    kfunc: u32,
    asked: Option<Results>,
    types: &Btf,
) -> Result<Option<Returns>, StartError> {
    if asked.unwrap_or_else(|| choose_results(results::facts(types))) == Results::SysExit {
        return Ok(None);
    }
    match Returns::attach(&object::with_kfunc(kfunc), ebpf, types) {
        Ok(returns) => Ok(Some(returns)),
        Err(error) if asked.is_some() => {
            Err(StartError::Refused { program: returns::PROGRAM.into(), reason: error.to_string() })
        }
        Err(error) => {
            tracing::debug!(%error, "the watched functions cannot be watched");
            Ok(None)
        }
    }
}

/// Loads the programs, then lets them run.
pub(super) fn attach(ebpf: &mut Ebpf, hooks: &[Hook], types: &AyaBtf) -> Result<(), StartError> {
    for hook in hooks {
        let program: &mut BtfTracePoint = typed(ebpf, hook.program)?;
        load(hook.program, || program.load(hook.tracepoint, types))?;
    }
    load_iterator(ebpf, types)?;
    // A second program after its first: in this order they run.
    for hook in hooks {
        let program: &mut BtfTracePoint = typed(ebpf, hook.program)?;
        program.attach().map_err(|e| refused(hook.program, e))?;
    }
    Ok(())
}

/// The second programs, or all where there are none.
pub(super) fn last(ebpf: &Ebpf, hooks: &[Hook]) -> Result<Vec<OwnedFd>, StartError> {
    let twice = hooks.iter().any(Hook::is_second);
    let last = hooks.iter().filter(|hook| !twice || hook.is_second());
    last.map(|hook| {
        let program = ebpf.program(hook.program).ok_or(ProgramError::NotLoaded);
        let fd = program.and_then(|program| Ok(program.fd()?.as_fd().try_clone_to_owned()));
        let refused = |reason| StartError::Refused { program: hook.program.into(), reason };
        fd.map_err(|e| refused(chain(&e)))?.map_err(|e| refused(e.to_string()))
    })
    .collect()
}

fn load_iterator(ebpf: &mut Ebpf, types: &AyaBtf) -> Result<(), StartError> {
    let program = typed::<Iter>(ebpf, ITERATOR)?;
    load(ITERATOR, || program.load("task_vma", types))
}

fn load(name: &str, attempt: impl FnMut() -> Result<(), ProgramError>) -> Result<(), StartError> {
    insist(attempt).map_err(|e| refused(name, e))
}

/// Offers a program to the verifier: again where a signal came in between, for which it gives up
/// (`do_check` of `kernel/bpf/verifier.c`).
pub(super) fn insist<T, E: Error + 'static>(
    mut attempt: impl FnMut() -> Result<T, E>,
) -> Result<T, E> {
    let begin = Instant::now();
    loop {
        match attempt() {
            Err(e) if is_interrupted(&e) && begin.elapsed() < INSISTENCE => {}
            result => return result,
        }
    }
}

/// How deep our own PID namespace is: nothing in `/proc` tells it from inside.
pub(super) fn own_level(mut ebpf: Ebpf, types: &AyaBtf) -> Result<u32, StartError> {
    load_iterator(&mut ebpf, types)?;
    let unknown = |reason: String| StartError::Refused { program: ITERATOR.into(), reason };
    let mut shared: Array<_, u64> = take(&mut ebpf, "SHARED", Array::try_from)?;
    shared.set(shared::FOLLOW, 1, 0).map_err(|e| unknown(e.to_string()))?;
    let program = typed::<Iter>(&mut ebpf, ITERATOR)?;
    let fd = program.fd().map_err(|e| unknown(chain(&e)))?;
    let own = std::process::id();
    let entries = VmaIterator::new(fd.as_fd(), own)
        .and_then(|iterator| iterator.read(own))
        .map_err(|e| unknown(e.to_string()))?;
    let first = entries.first().ok_or_else(|| unknown("it found no mapping of ours".into()))?;
    Ok(first.pid)
}

fn typed<'a, P>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut P, StartError>
where
    &'a mut P: TryFrom<&'a mut aya::programs::Program, Error = ProgramError>,
{
    ebpf.program_mut(name)
        .ok_or(ProgramError::NotLoaded)
        .and_then(TryInto::try_into)
        .map_err(|e| refused(name, e))
}
