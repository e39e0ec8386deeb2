//! `--check`: what this kernel and these privileges allow.

use std::process::ExitCode;

use crate::kernel::{Options, Tracer};

/// Says what this kernel allows, and returns the exit status.
pub fn check() -> ExitCode {
    match Tracer::start(Options::default()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            super::complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}
