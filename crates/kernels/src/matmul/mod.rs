//! Matrix times many vectors: the products of reading a prompt.
//!
//! Version 1: a threadgroup makes a block of vectors times a block of rows, by matrix tiles. Weights are taken apart into shared
//! memory, once for the whole block; what comes next is loaded while others still multiply.
//! Version 2: it ends as products of decoding do.
//! Version 3: weights may be copied ahead.

mod ahead;
mod geometry;
mod load;
mod multiply;
mod vectors;
mod write;

use tessera_tile::prelude::*;

use crate::{
    check,
    codes::{Matrix, Planes},
    end::{End, parts},
    stage::Scratch,
    tune::several,
};
use ahead::Ahead;
use load::Operands;
pub(crate) use load::Source;
use multiply::Sums;
pub(crate) use vectors::Vectors;
pub(crate) use write::Results;
use write::Writer;

/// `y = x W^T + bias`, and what [`End`] makes of it; as [`Matvec`](crate::matvec::Matvec), but without a norm.
///
/// `x` is `[vectors, cols]`, `W` `[rows, cols]`, `bias` `[rows]`; results are `[vectors, rows of the part]`, those of a unit
/// `[vectors, rows / 2]`. A residual is `[vectors, rows]` and may be the result. Elements are rounded to `stage`, sums are of
/// f32; a vector's result depends on nothing but the vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Matmul {
    /// Packing of `W`.
    pub matrix: Matrix,
    /// Vectors of a threadgroup, a multiple of `16 * down`.
    pub vectors: u32,
    /// Results of each vector for a threadgroup, a multiple of `16 * across`.
    pub rows: u32,
    /// Simdgroups that divide the vectors.
    pub down: u32,
    /// Simdgroups that divide the results.
    pub across: u32,
    /// Blocks of 32 columns at once.
    pub steps: u32,
    /// Slots of shared memory that weights are copied through before they are taken apart, up to 3; with 1 they are not copied.
    #[name(several)]
    pub depth: u32,
    /// Type of operands of tiles: F32 or F16.
    pub stage: Elem,
    /// Whether `cols` is not a multiple of 32.
    pub ragged: bool,
    /// Whether there is a bias.
    pub bias: bool,
    /// What becomes of the products.
    pub end: End,
}

/// Scalars of [`Matmul`].
#[derive(Debug, Clone, Copy, Default, tessera_tile::Args)]
pub struct MatmulArgs {
    /// Rows of `W`, all parts.
    pub rows: u32,
    /// Columns of `W`.
    pub cols: u32,
    /// Vectors.
    pub vectors: u32,
    /// Rows of the first part, if there are several.
    pub first: u32,
    /// Rows of the second part, if there are three.
    pub second: u32,
    /// Of a clipped unit: its steepness.
    pub alpha: f32,
    /// Of a clipped unit: largest magnitude.
    pub limit: f32,
}

impl Spec for Matmul {
    type Args = MatmulArgs;

    fn threads(&self) -> u32 {
        self.down * self.across * LANES
    }

    fn grid(&self, a: &MatmulArgs) -> [u32; 3] {
        // neighbours share the block of weights
        [a.vectors.div_ceil(self.vectors), (a.rows / self.end.halves()).div_ceil(self.rows), 1]
    }

    fn check(&self, a: &MatmulArgs) -> Result<(), String> {
        self.geometry()?;
        check::product(&[a.rows, a.vectors], a.cols, self.ragged)?;
        self.end.check(a.rows, a.first, a.second)
    }
}

#[kernel]
fn matmul(
    k: &Matmul,
    x: In<F32>,
    #[of(k.matrix)] w: Planes,
    #[when(k.bias)] bias: Option<In<F32>>,
    #[when(k.end == End::Residual)] residual: Option<In<F32>>,
    y: Out<F32>,
    #[when(k.end.parts() > 1)] second: Option<Out<F32>>,
    #[when(k.end.parts() > 2)] third: Option<Out<F32>>,
    a: Args<MatmulArgs>,
) {
    let vectors = Vectors::Neighbours { first: group(0) * k.vectors, count: a.vectors };
    let (base, first) = (val(0), group(1) * k.rows);
    let parts = parts((y, second, third), a.rows / k.end.halves(), a.first, a.second);
    let source = Source { k, x, w: &w, vectors: &vectors, base, first, a: &a };
    multiply(&source, &Results { parts, bias, residual });
}

/// Makes a threadgroup's block of results.
#[device]
pub(crate) fn multiply(source: &Source<'_>, to: &Results) {
    let k = source.k;
    let operands = Operands::new(k);
    let scratch = Scratch::of(shared("scratch", Scratch::len(simdgroups())));
    let sums = Sums::new(k);
    let (places, steps) = (source.places(), source.steps());
    if k.depth == 1 {
        for block in (val(0u32)..steps).step_by(k.steps) {
            let loaded = source.load(&places, block);
            barrier();
            operands.stage(&loaded);
            barrier();
            sums.multiply_add(k, &operands);
        }
    } else {
        let ahead = Ahead::new(source, places);
        for block in (val(0u32)..steps).step_by(k.steps) {
            ahead.stage(&operands, block);
            sums.multiply_add(k, &operands);
        }
        ahead.finish();
    }
    Writer { source, to, scratch }.write_sums(&sums);
}
