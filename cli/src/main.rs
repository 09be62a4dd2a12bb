//! The `procshare` command.
fn main() {}
