//! A program as source text of a GPU's own language.
//!
//! A printed kernel is one function, flat and without templates, preceded by its argument struct. It is self-contained but
//! for the prelude of its language, which comes once a file, before all kernels. The same program always gives the same
//! bytes.
//!
//! What a program means is in [`ir`](crate::ir); the texts keep to it exactly if they are compiled with the options named
//! here: [`METAL_OPTIONS`] and [`CUDA_OPTIONS`]. What remains to the devices: the last bits of `exp`, `exp2`, `log`,
//! `rsqrt`, `sin`, `cos` and `tanh`, whether denormals are flushed, which lane's not-a-number survives a minimum, and
//! the order of sums within a matrix tile.
//!
//! Signature in Metal: the buffers in the program's order, then `constant NAME_args& args` (if the kernel has scalar
//! arguments), then `group_index`, `thread_index`, `lane_index` and `simdgroup_index`. In CUDA: the buffers, then
//! `NAME_args args` by value. Threadgroups are one-dimensional in both.

mod body;
mod cuda;
mod dialect;
mod expression;
mod metal;
mod names;
mod place;
mod text;

pub(crate) use names::reserved;

use crate::Program;

/// Options of Apple's command line compiler (`metal`) that the text relies on. Where the text is compiled at run time they
/// are `MTLCompileOptions`: language version 3.0, math mode safe (before macOS 15: fast math disabled); fused
/// multiply-add is switched off by the prelude itself.
pub const METAL_OPTIONS: &[&str] = &["-std=metal3.0", "-fno-fast-math", "-ffp-contract=off"];

/// Options of nvcc and NVRTC that the text relies on: products and sums are rounded each by itself, denormals are kept,
/// division and square root are exact.
pub const CUDA_OPTIONS: &[&str] =
    &["--std=c++17", "--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true"];

/// What precedes kernels in a Metal file, once.
pub fn metal_prelude() -> &'static str {
    include_str!("prelude.metal")
}

/// What precedes kernels in a CUDA file, once. Needs compute capability 7.0, and 8.0 for matrix tiles of f32.
pub fn cuda_prelude() -> &'static str {
    include_str!("prelude.cu")
}

/// The kernel in Metal's shading language.
pub fn metal(program: &Program) -> String {
    body::print(program, &metal::Metal)
}

/// The kernel in CUDA C++.
pub fn cuda(program: &Program) -> String {
    body::print(program, &cuda::Cuda)
}

/// What both texts call the shared arrays of a program, in its order: names that mean something else there are changed.
pub fn shared_names(program: &Program) -> Vec<String> {
    dialect::Memories::of(program, &mut names::Names::default()).shared
}
