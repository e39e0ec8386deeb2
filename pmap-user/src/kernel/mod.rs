//! The kernel's side: the only folder that knows aya.

mod bpf;
mod btf;
mod error;
mod facts;
mod hooks;
mod iter;
mod layout;
mod load;
mod object;
mod results;
mod returns;
mod syscalls;
mod tracer;

pub use error::StartError;
pub use facts::{Fact, facts, reader_facts, result_facts};
pub use hooks::{Hook, HookFacts, hooks};
pub use layout::{Missing, ReaderFacts, choose_reader, readers};
pub use pmap_ebpf::Reader;
pub use results::{ResultFacts, Results, choose_results};
pub use tracer::{Options, Tracer, Versions, was_disturbed};
