//! `pmap` as a library: the model of a mapping, its sources, and its views.

pub mod cli;
pub mod follow;
pub mod model;
pub mod proc;
pub mod rc;
pub mod snapshot;
pub mod text;
pub mod view;
