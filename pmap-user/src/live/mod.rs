//! Records become changes: joins what the kernel says to the tables, and keeps each table honest.
//!
//! Pure: records, snapshots and the time come in, changes and requests to read again come out.

mod change;
mod engine;
mod files;
mod healing;
mod space;

pub use change::{Call, Change, Op, Reason};
pub(crate) use engine::is_error;
pub use engine::{Engine, Totals};
pub use files::{FileKey, Files, Identity};
pub use healing::{Healing, Remedy};
pub use space::Space;
