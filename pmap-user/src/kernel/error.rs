//! Why the programs are not at work.

use std::io;

use aya::programs::ProgramError;

use super::layout::Missing;

/// Why the programs are not at work.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The kernel shows no types.
    #[error(
        "cannot read the kernel's types from /sys/kernel/btf/vmlinux: {0}; --follow needs a \
         kernel built with CONFIG_DEBUG_INFO_BTF"
    )]
    NoBtf(io::Error),
    /// The kernel is too old, or too new.
    #[error(
        "this kernel has no {}; --follow needs Linux 6.1 or later with CONFIG_TRACING \
         (see pmap --check)",
        .0.0
    )]
    Missing(Missing),
    /// The kernel does not let us.
    #[error("may not load eBPF programs ({0}): run as root, or with CAP_BPF and CAP_PERFMON")]
    Permission(String),
    /// The verifier, or something else, said no.
    #[error("the kernel refused the eBPF program {program}: {reason}")]
    Refused {
        /// Which one.
        program: String,
        /// What the kernel said.
        reason: String,
    },
}

/// What became of a program.
pub(super) fn refused(program: &str, error: ProgramError) -> StartError {
    if is_permission(&error) {
        return StartError::Permission(format!("program {program}"));
    }
    StartError::Refused { program: program.into(), reason: chain(&error) }
}

/// Whether the kernel does not let us: the verifier says no with `EACCES`.
pub(super) fn is_permission(error: &(dyn std::error::Error + 'static)) -> bool {
    error_number(error) == Some(libc::EPERM)
}

/// Whether a signal came in between.
pub(super) fn is_interrupted(error: &(dyn std::error::Error + 'static)) -> bool {
    error_number(error) == Some(libc::EAGAIN)
}

/// The kernel's answer at the root of an error.
fn error_number(error: &(dyn std::error::Error + 'static)) -> Option<i32> {
    std::iter::successors(Some(error), |e| e.source())
        .find_map(|e| e.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error))
}

/// An error and what caused it, in one line but for a verifier's log.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
