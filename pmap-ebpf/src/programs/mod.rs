//! One file for each moment that is watched, beside what they share: `kernel` reads kernel
//! structures, `maple` walks a mapping tree, `maps` holds what lives between calls, `emit` fills
//! the ring buffer.

mod emit;
mod iter;
mod kernel;
mod lifetime;
mod maple;
mod maps;
mod section;
mod syscall;
