//! What the live tests share: a process that changes its mappings, `pmap --follow` beside it, and
//! the comparison of what it says with what the kernel shows of the stopped process.

#![allow(unreachable_pub, reason = "a module of several test programs")]
#![allow(dead_code, unused_imports, reason = "each test program uses its own part of this")]

mod followed;
mod maps;
mod pair;
mod replay;
mod target;

pub use followed::{Followed, Summary};
pub use maps::{Mapping, of_process};
pub use pair::Pair;
pub use replay::Replay;
pub use target::{Outcome, Target, living_thread, send, shares_with_parent, stop, try_stop};
