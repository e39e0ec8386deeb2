//! The live table: an address space as a map of regions, and what changes when a range of it is
//! seen anew.
//!
//! Pure: no I/O, no clock, and no idea where what it is told comes from. Whoever tells it says "at
//! this version, this range holds exactly these regions"; the table answers with the difference.
//! Being told the same twice changes nothing.

mod diff;
mod space;

pub use diff::{Piece, Verdict};
pub use space::{AddressSpace, Entry, What};
