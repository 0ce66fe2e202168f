//! What a step is made of, each computation once for every instruction set.

// arrays of registers are indexed by row, column and step, as in the formulas
#![allow(clippy::needless_range_loop)]

pub(crate) mod acts;
pub(crate) mod attention;
mod codes;
mod dot;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod route;
pub(crate) mod rows;
pub(crate) mod sample;
mod scales;
