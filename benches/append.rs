//! Append.
fn main() {}
