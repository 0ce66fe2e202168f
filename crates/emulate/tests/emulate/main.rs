//! Printed text is run and compared with plain Rust; mistakes are made, and found.

mod kernels;
mod mistakes;
mod right;
