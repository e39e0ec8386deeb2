//! What the live tests share: a process that changes its mappings, `pmap --follow` beside it, and
//! the comparison of what it says with what the kernel shows of the stopped process.

#![allow(unreachable_pub, reason = "a module of several test programs")]
#![allow(dead_code, unused_imports, reason = "each test program uses its own part of this")]

mod followed;
mod maps;
mod pair;
mod replay;
mod target;

use std::process::Command;
use std::sync::LazyLock;

use crate::common::OURS;

pub use followed::{Followed, Summary};
pub use maps::{Mapping, of_process};
pub use pair::Pair;
pub use replay::Replay;
pub use target::{Outcome, Target, living_thread, send, shares_with_parent, stop, try_stop};

/// Whether this kernel lets changes be read with the call that makes them; else they are told once the
/// mappings were read again.
pub fn tells_calls() -> bool {
    static TELLS: LazyLock<bool> = LazyLock::new(|| {
        let output = Command::new(OURS).arg("--check").output().expect("pmap starts");
        let report = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(report.contains("pmap --follow works"), "{report}");
        report.contains("exact at every version")
    });
    *TELLS
}
