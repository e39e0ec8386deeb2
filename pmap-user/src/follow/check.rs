//! `--check`: what this kernel and these privileges allow, in a form to paste into a bug report.

use std::{io::Write as _, process::ExitCode};

use crate::kernel::{self, Fact, Reader, Tracer};

/// Says what this kernel allows, and returns the exit status: success where `--follow` works.
pub fn check() -> ExitCode {
    super::insist();
    let mut report = format!(
        "pmap {} on {} {}\n\n",
        env!("CARGO_PKG_VERSION"),
        crate::proc::kernel_name().unwrap_or_else(|| "an unknown kernel".into()),
        std::env::consts::ARCH,
    );
    let options = super::options();
    for Fact { name, state, remedy } in kernel::facts(options) {
        report += &format!("{name:<44} {state}\n");
        if let Some(remedy) = remedy {
            report += &format!("{:<44} -> {remedy}\n", "");
        }
    }
    let namespace = if options.nested { "nested" } else { "initial" };
    report += &format!("{:<44} {namespace}\n", "PID namespace");
    let code = match Tracer::start(options) {
        Ok(tracer) => {
            report += &format!("{:<44} yes\n", "programs load and attach");
            report += match tracer.reader() {
                Reader::None => {
                    "\npmap --follow works: each change is told once the mappings were read again, \
                     since nothing can be read inside a write section here\n"
                }
                Reader::Cast | Reader::Probe => "\npmap --follow works, exact at every version\n",
            };
            ExitCode::SUCCESS
        }
        Err(error) => {
            report += &format!(
                "{:<44} no\n\npmap --follow does not work: {error}\n",
                "programs load and attach"
            );
            report += "plain pmap needs none of this\n";
            ExitCode::FAILURE
        }
    };
    match std::io::stdout().write_all(report.as_bytes()) {
        Ok(()) => code,
        Err(_) => ExitCode::FAILURE,
    }
}
