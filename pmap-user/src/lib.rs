//! `pmap` as a library: the model of a mapping, its sources, and its views.

pub mod kernel;
pub mod live;
pub mod model;
pub mod record;
pub mod syscalls;
pub mod table;
