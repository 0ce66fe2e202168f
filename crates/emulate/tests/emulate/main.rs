//! Printed text is run and compared with plain Rust and with the simulator; mistakes are made, and found.

#![cfg(target_os = "linux")] // the runtime has been tried nowhere else

#[path = "../../../tile/tests/kernels/mod.rs"]
mod constructs;

mod agree;
mod kernels;
mod meet;
mod mistakes;
mod right;
mod types;

use tessera_emulate::{Error, Library};

/// A library, or a failure that says what to do: a machine without a compiler is told of it here.
fn ready(built: Result<Library, Error>) -> Library {
    built.unwrap_or_else(|error| panic!("{error}"))
}
