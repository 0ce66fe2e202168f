//! Repeated jobs. fn main below.
fn main() {}
