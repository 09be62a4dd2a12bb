//! Rivals.
fn main() {}
