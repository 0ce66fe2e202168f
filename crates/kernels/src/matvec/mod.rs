//! Matrix times a few vectors: the products of decoding, with the norm before them and what comes after them.
//!
//! Version 1: a simdgroup makes `rows` rows, its lanes taking 32 columns each at a time; each weight is read once for
//! `batch` vectors.
//! Version 2: matrices that share their input are one under the other and make several results; the input's norm on the
//! way (its scale is a factor of the sum, so nobody waits for it); gated units.
//! Version 3: the input lies in shared memory, so that lanes that read 32 columns each do not stride through it (on an H100
//! that was 27 % of a copy's speed); a lane's weights are all asked for before any is used; codes of 4 bits become
//! floats by a mask and a subtraction.
//! Version 4: weights of a turn are asked for before its input is staged; simdgroups may divide a row's columns.

mod input;
mod sums;

use tessera_tile::prelude::*;

use crate::{
    check::{self, ensure},
    codes::{Matrix, Planes, STEP},
    end::{End, parts, put},
    rms_norm::group_sum,
    tune::{Tunable, pairs, variants},
};
use input::{Input, QUADS, shelf};
use sums::{make_sums, together};

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
    /// Simdgroups that divide the columns of the same rows.
    pub split: u32,
    /// Blocks of 32 columns whose input lies in shared memory at once: 32, 64 or 128, see [`Matvec::over`].
    pub blocks: u32,
    /// How often so many columns make all of them.
    pub turns: u32,
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

/// Vectors at once at most.
pub const MAX_BATCH: u32 = 4;

/// Blocks of all vectors that there is room for.
const MOST_BLOCKS: u32 = 128;

impl Matvec {
    /// For `cols` columns: with blocks for as many as there are, or as there is room for.
    pub fn over(self, cols: u32) -> Self {
        let there_are = cols.div_ceil(STEP);
        // the lanes of a row take a block each
        let least = there_are.next_power_of_two().max(LANES * self.split);
        let blocks = least.min(MOST_BLOCKS / self.batch.next_power_of_two());
        Self { blocks, turns: there_are.div_ceil(blocks), ..self }
    }
}

impl Spec for Matvec {
    type Args = MatvecArgs;

    fn threads(&self) -> u32 {
        self.simdgroups * LANES
    }

    fn grid(&self, a: &MatvecArgs) -> [u32; 3] {
        let results = a.rows / self.end.halves();
        let rows = self.rows * (self.simdgroups / self.split);
        [results.div_ceil(rows), a.vectors.div_ceil(self.batch), 1]
    }

    fn check(&self, a: &MatvecArgs) -> Result<(), String> {
        let &Self { simdgroups, batch, split, blocks, turns, .. } = self;
        check::product(&[a.rows, a.vectors], a.cols, self.ragged)?;
        ensure!((1..=MAX_BATCH).contains(&batch), "{batch} vectors at once, not 1 to {MAX_BATCH}");
        let there_is_room = [32, 64, 128].contains(&blocks) && blocks * batch <= MOST_BLOCKS;
        ensure!(there_is_room, "{blocks} blocks of {batch} vectors at once");
        let divide =
            split > 0 && simdgroups.is_multiple_of(split) && blocks.is_multiple_of(split * LANES);
        ensure!(divide, "{split} of {simdgroups} simdgroups divide {blocks} blocks");
        let threads = self.threads();
        ensure!((blocks * QUADS).is_multiple_of(threads), "{threads} threads for {blocks} blocks");
        let all = a.cols.div_ceil(STEP) <= blocks * turns;
        ensure!(all, "{} columns in {turns} times {}", a.cols, blocks * STEP);
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
        let divided = fit.flat_map(|(rows, simdgroups)| {
            let splits = [1, 2, 4, 8].into_iter().filter(move |&split| split <= simdgroups);
            let splits = splits.filter(move |split| own.blocks.is_multiple_of(split * LANES));
            splits.map(move |split| Self { rows, simdgroups, split, ..own })
        });
        variants(own, divided)
    }

    /// Splits add up in another order, and the sum of squares is divided among the threadgroup.
    fn same_bits(&self) -> bool {
        false
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
    let results = a.rows / k.end.halves();
    let teams = k.simdgroups / k.split;
    let (team, part) = (simdgroup() / k.split, simdgroup() % k.split);
    let first_row = (group(0) * teams + team) * k.rows;
    // what a gate lets through lies below the gate
    let halves = (0..k.end.halves()).map(|half| results * half);
    let own = |half: Val<u32>| (0..k.rows).map(move |r| min(first_row + r, results - 1) + half);
    let rows: Vec<_> = halves.flat_map(own).collect();
    let input = Input { k, x, norm, first: group(1) * k.batch, shelf: shelf(k), a: &a };
    let vectors = k.batch as usize;
    let mut sums = vec![vec![0.0; vectors]; rows.len()];
    let mut squares = vec![0.0; vectors];
    make_sums(&input, &w, &rows, part * LANES + lane(), &sums, &squares);
    let sums: Vec<_> = sums.iter().flatten().map(|sum| simd_sum(*sum)).collect();
    let sums = together(k, &sums);
    let parts = parts((y, second, third), results, a.first, a.second);
    for v in 0..vectors {
        let vector = input.first + v as u32;
        let scale = k.norm.then(|| {
            let total = group_sum(SQUARES[v], squares[v]);
            rsqrt(total / a.cols.f32() + a.eps)
        });
        let product = |r: usize| {
            let sum = sums[r * vectors + v];
            let sum = scale.map_or(sum, |scale| sum * scale);
            bias.map_or(sum, |bias| sum + bias.at(rows[r]))
        };
        for r in 0..k.rows as usize {
            let row = first_row + r as u32;
            let of = |half: u32| product(r + (half * k.rows) as usize);
            let sum = k.end.result(of, a.alpha, a.limit);
            if (lane() == 0) & (part == 0) & (row < results) & (vector < a.vectors) {
                let at = vector * results + row;
                let sum = residual.map_or(sum, |residual| sum + residual.at(at));
                put(&parts, vector, row, sum);
            }
        }
    }
}

/// Shared memory of the sums of squares.
const SQUARES: [&str; MAX_BATCH as usize] = ["squares_0", "squares_1", "squares_2", "squares_3"];
