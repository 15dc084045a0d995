//! The `estiba` binary.
fn main() {}
