//! Matrix times a few vectors: the products of decoding, with the norm before them and what comes after them.
//!
//! Version 1: a simdgroup makes `rows` rows, its lanes taking 32 columns each at a time; each weight is read once for
//! `batch` vectors.
//! Version 2: matrices that share their input are one under the other and make several results; the input's norm on the
//! way (its scale is a factor of the sum, so nobody waits for it); gated units.
//! Version 3: the input lies in shared memory, so that lanes that read 32 columns each do not stride through it (on an H100
//! that was 27 % of a copy's speed); a lane's weights are all asked for before any is used; codes of 4 bits become
//! floats by a mask and a subtraction.

mod input;

use tessera_tile::prelude::*;

use crate::{
    check::{self, ensure},
    codes::{Matrix, Planes, STEP},
    end::{End, parts, put},
    rms_norm::group_sum,
    tune::{Tunable, pairs, variants},
};
use input::{Input, shelf, stage};

/// `y = norm(x) W^T + bias`, and what [`End`] makes of it.
///
/// `x` is `[vectors, cols]`, `W` `[rows, cols]`, `bias` `[rows]`; results are `[vectors, rows of the part]`, those of a unit
/// `[vectors, rows / 2]`. A residual is `[vectors, rows]` and may be the result. With `norm`, `x` is divided by its root mean
/// square and multiplied by `norm_weight + offset` `[cols]` first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Matvec {
    /// Packing of `W`.
    pub matrix: Matrix,
    /// Results for a simdgroup.
    pub rows: u32,
    /// Simdgroups of a threadgroup.
    pub simdgroups: u32,
    /// Vectors at once.
    pub batch: u32,
    /// Blocks of 32 columns whose input lies in shared memory at once: 32, 64 or 128, see [`blocks`].
    pub blocks: u32,
    /// Whether `cols` is not a multiple of 32.
    pub ragged: bool,
    /// Whether `x` is normalised.
    pub norm: bool,
    /// Whether there is a bias.
    pub bias: bool,
    /// What becomes of the products.
    pub end: End,
}

/// Scalars of [`Matvec`].
#[derive(Debug, Clone, Copy, Default, tessera_tile::Args)]
pub struct MatvecArgs {
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
    /// Added to the mean square.
    pub eps: f32,
    /// Added to the norm's weight.
    pub offset: f32,
    /// Of a clipped unit: its steepness.
    pub alpha: f32,
    /// Of a clipped unit: largest magnitude.
    pub limit: f32,
}

impl Spec for Matvec {
    type Args = MatvecArgs;

    fn threads(&self) -> u32 {
        self.simdgroups * LANES
    }

    fn grid(&self, a: &MatvecArgs) -> [u32; 3] {
        let results = a.rows / self.end.halves();
        [results.div_ceil(self.rows * self.simdgroups), a.vectors.div_ceil(self.batch), 1]
    }

    fn check(&self, a: &MatvecArgs) -> Result<(), String> {
        let &Self { blocks, batch, .. } = self;
        check::product(&[a.rows, a.vectors], a.cols, self.ragged)?;
        ensure!((1..=MAX_BATCH).contains(&batch), "{batch} vectors at once, not 1 to {MAX_BATCH}");
        let there_is_room = [32, 64, 128].contains(&blocks) && blocks * batch <= MOST_BLOCKS;
        ensure!(there_is_room, "{blocks} blocks of {batch} vectors at once");
        self.end.check(a.rows, a.first, a.second)
    }
}

/// Sums that a lane keeps in registers at most, in a tuned kernel.
const MOST_SUMS: u32 = 32;

impl Tunable for Matvec {
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        let sizes = pairs(&[1, 2, 4, 8], &[1, 2, 4, 8]);
        let fit = sizes.filter(|(rows, _)| rows * own.end.halves() * own.batch <= MOST_SUMS);
        variants(own, fit.map(|(rows, simdgroups)| Self { rows, simdgroups, ..own }))
    }

    /// The sum of squares is divided among the threadgroup.
    fn same_bits(&self) -> bool {
        !self.norm
    }
}

#[kernel]
fn matvec(
    k: &Matvec,
    x: In<F32>,
    #[when(k.norm)] norm: Option<In<F32>>,
    #[of(k.matrix)] w: Planes,
    #[when(k.bias)] bias: Option<In<F32>>,
    #[when(matches!(k.end, End::Residual))] residual: Option<In<F32>>,
    y: Out<F32>,
    #[when(k.end.parts() > 1)] second: Option<Out<F32>>,
    #[when(k.end.parts() > 2)] third: Option<Out<F32>>,
    a: Args<MatvecArgs>,
) {
    let gated = k.end.unit().is_some();
    let results = if gated { a.rows / 2 } else { a.rows };
    let first_row = (group(0) * simdgroups() + simdgroup()) * k.rows;
    let own = (0..k.rows).map(|r| min(first_row + r, results - 1));
    // what a gate lets through lies below the gate
    let through = own.clone().filter(|_| gated).map(|row| row + results);
    let rows: Vec<_> = own.chain(through).collect();
    let input = Input { k, x, norm, first: group(1) * k.batch, shelf: shelf(k), a: &a };
    let vectors = k.batch as usize;
    let mut sums = vec![vec![0.0; vectors]; rows.len()];
    let mut squares = vec![0.0; vectors];
    let steps = div_ceil(a.cols, STEP);
    for chunk in (val(0u32)..steps).step_by(k.blocks) {
        barrier();
        stage(&input, chunk, &squares);
        barrier();
        for first in (0..k.blocks).step_by(32) {
            let place = lane() + first;
            // beyond the end the input is zeros, and any weights will do
            let block = min(chunk + place, steps - 1);
            let packed: Vec<_> = rows.iter().map(|&row| w.read(row, block, steps)).collect();
            for v in 0..k.batch {
                let (elements, total) = input.elements(v, place);
                for (sums, packed) in sums.iter().zip(&packed) {
                    add(&sums[v as usize], w.product(packed, &elements, total));
                }
            }
        }
    }
    let parts = parts((y, second, third), results, a.first, a.second);
    for v in 0..vectors {
        let vector = input.first + v as u32;
        let scale = k.norm.then(|| {
            let total = group_sum(SQUARES[v], squares[v]);
            rsqrt(total / a.cols.f32() + a.eps)
        });
        let product = |r: usize| {
            let sum = simd_sum(sums[r][v]);
            let sum = scale.map_or(sum, |scale| sum * scale);
            bias.map_or(sum, |bias| sum + bias.at(rows[r]))
        };
        for r in 0..k.rows as usize {
            let row = first_row + r as u32;
            let sum = product(r);
            let sum = match k.end.unit() {
                Some(unit) => unit.apply(Some(sum), product(r + k.rows as usize), a.alpha, a.limit),
                None => sum,
            };
            if (lane() == 0) & (row < results) & (vector < a.vectors) {
                let at = vector * results + row;
                let sum = residual.map_or(sum, |residual| sum + residual.at(at));
                put(&parts, vector, row, sum);
            }
        }
    }
}

/// Shared memory of the sums of squares.
const SQUARES: [&str; MAX_BATCH as usize] = ["squares_0", "squares_1", "squares_2", "squares_3"];

/// Vectors at once at most.
pub const MAX_BATCH: u32 = 4;

/// [`Matvec::blocks`] for `cols` columns: as many as there are, and as there is room for.
pub fn blocks(cols: u32, batch: u32) -> u32 {
    // a lane takes one block of 32, and as many turns as there are
    let there_are = cols.div_ceil(STEP).next_power_of_two().max(LANES);
    there_are.min(MOST_BLOCKS / batch.next_power_of_two())
}

/// Blocks of all vectors that there is room for.
const MOST_BLOCKS: u32 = 128;

#[device]
fn add(sum: &Var<f32>, product: Val<f32>) {
    *sum = sum.get() + product;
}
