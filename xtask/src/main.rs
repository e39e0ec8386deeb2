//! What the repository does besides `cargo build` and `cargo test`.

fn main() {}
