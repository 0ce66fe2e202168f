//! tile: GPU kernels as Rust functions.
//!
//! A kernel is a function over typed values. Rust resolves its names and types; running it once records a small typed
//! [`Program`]. The program is printed as Metal and as CUDA source, and executed in lockstep by a [simulator](sim) that
//! checks what no GPU would tell.
//!
//! ```
//! use tessera_tile::prelude::*;
//!
//! /// y = factor * x
//! #[derive(Name)]
//! struct Scaled;
//!
//! #[derive(Clone, Copy, tessera_tile::Args)]
//! struct ScaledArgs {
//!     len: u32,
//!     factor: f32,
//! }
//!
//! impl Spec for Scaled {
//!     type Args = ScaledArgs;
//!     fn threads(&self) -> u32 {
//!         64
//!     }
//!     fn grid(&self, a: &ScaledArgs) -> [u32; 3] {
//!         [a.len.div_ceil(64), 1, 1]
//!     }
//!     fn check(&self, _: &ScaledArgs) -> Result<(), String> {
//!         Ok(())
//!     }
//! }
//!
//! #[kernel]
//! fn scaled(_k: &Scaled, x: In<F32>, y: Out<F32>, a: Args<ScaledArgs>) {
//!     let i = group(0) * threads() + thread();
//!     if i < a.len {
//!         y.set(i, x.at(i) * a.factor);
//!     }
//! }
//!
//! let program = Scaled.record()?;
//! assert_eq!(program.buffers.len(), 2);
//! # Ok::<(), tessera_tile::BuildError>(())
//! ```

extern crate self as tessera_tile;

pub mod check;
pub mod flow;
mod fold;
pub mod ir;
pub mod kernel;
pub mod math;
pub mod memory;
pub mod name;
pub mod print;
pub mod record;
#[cfg(doctest)]
mod refused;
pub mod sim;
pub mod value;

pub use check::BuildError;
pub use ir::Program;
pub use kernel::{ArgumentField, Arguments, Parameter, Record, Spec};
pub use name::Name;
pub use tessera_tile_macro::{Args, Name, device, kernel};
pub use value::{Scalar, Val};

/// What a kernel's file needs.
pub mod prelude {
    pub use crate::{
        Name, Record, Spec, device,
        ir::{Elem, LANES, TILE},
        kernel,
        kernel::Args,
        math::*,
        memory::{
            AnyFloat, AnyWord, BF16, F16, F32, I8, I32, In, InOut, Out, Shared, Tile, U8, U16, U32,
            commit_staged, shared, shared_of, wait_staged,
        },
        value::{Get, Val, Var},
    };
}
