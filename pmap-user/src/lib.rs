//! `pmap` as a library: the model of a mapping, its sources, and its views.

pub mod cli;
pub mod follow;
pub mod kernel;
pub mod live;
pub mod model;
pub mod proc;
pub mod rc;
pub mod record;
pub mod snapshot;
pub mod syscalls;
pub mod table;
pub mod text;
pub mod view;
