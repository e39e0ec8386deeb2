//! The kernel's side: the only folder that knows aya.

mod btf;
mod facts;
mod hooks;
mod info;
mod iter;
mod layout;
mod object;
mod syscalls;
mod tracer;

pub use facts::{Fact, facts, reader_facts};
pub use hooks::{Hook, HookFacts, hooks};
pub use layout::{Missing, ReaderFacts, choose_reader, readers};
pub use pmap_ebpf::Reader;
pub use tracer::{Options, StartError, Tracer, Versions, was_disturbed};
