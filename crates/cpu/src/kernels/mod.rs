//! What a step is made of, each computation once for every instruction set.

// arrays of registers are indexed by row, column and step, as in the formulas
#![allow(clippy::needless_range_loop)]

pub(crate) mod acts;
mod ahead;
pub(crate) mod attention;
mod chunk;
mod codes;
pub(crate) mod conv;
mod decay;
pub(crate) mod delta;
mod dot;
pub(crate) mod math;
pub(crate) mod matmul;
pub(crate) mod route;
pub(crate) mod rows;
pub(crate) mod sample;
mod scales;
pub(crate) mod scan;
pub(crate) mod small;
