//! Products of all pairs of a chunk's tokens.
//!
//! Version 1: a threadgroup makes all of a chunk's for one group, 16 a thread.

use tessera_tile::prelude::*;

use super::{
    CHUNK, NO_CHUNK,
    block::{Columns, Operand, THREADS, multiply_add, stage, zeros},
};
use crate::check::ensure;

/// `products[chunk][g][t][s] = a[t][g] . b[s][g]`.
///
/// `a` and `b` are `[rows, groups * width]`, `products` `[chunks, groups, CHUNK, CHUNK]`; `chunks` is the
/// [table](super::fill). Numbers without a chunk are left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Gram;

/// Scalars of [`Gram`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct GramArgs {
    /// Elements of a group.
    pub width: u32,
    /// Groups.
    pub groups: u32,
    /// Entries of the table.
    pub chunks: u32,
}

/// Elements at a time.
const DEPTH: u32 = 32;

/// Distance of rows in shared memory.
const STRIDE: u32 = DEPTH + 4;

impl Spec for Gram {
    type Args = GramArgs;

    fn threads(&self) -> u32 {
        THREADS
    }

    fn grid(&self, a: &GramArgs) -> [u32; 3] {
        [a.groups, a.chunks, 1]
    }

    fn check(&self, a: &GramArgs) -> Result<(), String> {
        ensure!(a.width > 0, "groups of no elements");
        Ok(())
    }
}

#[kernel]
fn gram(
    _k: &Gram,
    chunks: In<U32>,
    a: In<F32>,
    b: In<F32>,
    products: Out<F32>,
    args: Args<GramArgs>,
) {
    let (group, chunk) = (group(0), group(1));
    let (width, groups) = (args.width, args.groups);
    let of = |of| Columns { of, group, groups, width };
    let first = chunks.at(chunk);
    let (left, right) = (shared("left", CHUNK * STRIDE), shared("right", CHUNK * STRIDE));
    let (rows, columns) = (Operand::Rows(left, STRIDE), Operand::Rows(right, STRIDE));
    if first != NO_CHUNK {
        let block = zeros();
        for at in (val(0)..width).step_by(DEPTH) {
            let (a, b) = (of(a), of(b));
            stage(left, CHUNK, DEPTH, STRIDE, |t, i| a.at(first + t, at + i));
            stage(right, CHUNK, DEPTH, STRIDE, |t, i| b.at(first + t, at + i));
            barrier();
            multiply_add(&block, rows, val(0), columns, DEPTH);
            barrier();
        }
        for (t, s, sum) in block.elements(rows, columns) {
            products.set(((chunk * groups + group) * CHUNK + t) * CHUNK + s, sum);
        }
    }
}
