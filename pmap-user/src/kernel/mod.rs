//! The kernel's side: the only folder that knows aya.

mod bpf;
mod btf;
mod facts;
mod hooks;
mod iter;
mod layout;
mod object;
mod returns;
mod syscalls;
mod tracer;

pub use facts::{Fact, facts, reader_facts, result_facts};
pub use hooks::{Hook, HookFacts, hooks};
pub use layout::{Missing, ReaderFacts, choose_reader, readers};
pub use pmap_ebpf::Reader;
pub use returns::{ResultFacts, Results, choose_results};
pub use tracer::{Options, StartError, Tracer, Versions, was_disturbed};
