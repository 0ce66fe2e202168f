//! Printed text is run and compared with plain Rust and with the simulator; mistakes are made, and found.

#[path = "../../../tile/tests/kernels/mod.rs"]
mod constructs;

mod agree;
mod kernels;
mod meet;
mod mistakes;
mod right;
mod types;
