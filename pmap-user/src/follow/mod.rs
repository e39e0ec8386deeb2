//! The live view of the changes of mappings.

use std::process::ExitCode;

use crate::cli::Follow;

/// Follows processes, and returns the exit status.
pub fn run(follow: &Follow) -> ExitCode {
    eprintln!("pmap: --follow is not part of this build; {} PIDs not followed", follow.pids.len());
    ExitCode::FAILURE
}

/// Says what this kernel allows.
pub fn check() -> ExitCode {
    eprintln!("pmap: --check is not part of this build");
    ExitCode::FAILURE
}
