//! What a step is made of, each computation once for every instruction set.

pub(crate) mod acts;
pub(crate) mod attention;
mod codes;
mod dot;
mod math;
pub(crate) mod matmul;
pub(crate) mod rows;
pub(crate) mod sample;
mod scales;
