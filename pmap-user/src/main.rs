//! The `pmap` command.

fn main() {}
