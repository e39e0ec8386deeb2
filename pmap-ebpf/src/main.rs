//! The eBPF programs; an empty `main` on the host.
fn main() {}
