//! What a row's experts make of it, added up as it is made.
//!
//! Version 1: as [`matvec`](crate::matvec), over the columns of all of a row's experts one after the other, so that lanes are
//! busy however few columns an expert has.

use tessera_tile::prelude::*;

use super::{columns, expert, sizes};
use crate::{
    check,
    codes::{Matrix, Planes, STEP},
    tune::{Tunable, variants},
};

/// `y[row] = sum over routes of weight (down x[pair] + bias)`, each with the pair's expert.
///
/// `x` is `[pairs, cols]`, `routes` `[rows, 2 k]`, `down` `[experts * rows, cols]`, `bias` `[experts * rows]`, `y` `[step rows,
/// rows]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct ExpertSum {
    /// Packing of `down`.
    pub matrix: Matrix,
    /// Routes of a row.
    pub k: u32,
    /// Whether there are biases.
    pub bias: bool,
    /// Whether `cols` is not a multiple of 32.
    pub ragged: bool,
    /// Rows of a matrix for a simdgroup.
    pub rows: u32,
    /// Simdgroups of a threadgroup.
    pub simdgroups: u32,
}

/// Scalars of [`ExpertSum`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct ExpertSumArgs {
    /// Experts.
    pub experts: u32,
    /// Rows of an expert's matrix.
    pub rows: u32,
    /// Columns of it.
    pub cols: u32,
    /// Rows of the step.
    pub step_rows: u32,
}

impl Spec for ExpertSum {
    type Args = ExpertSumArgs;

    fn threads(&self) -> u32 {
        self.simdgroups * LANES
    }

    fn grid(&self, a: &ExpertSumArgs) -> [u32; 3] {
        [a.rows.div_ceil(self.rows * self.simdgroups), a.step_rows, 1]
    }

    fn check(&self, a: &ExpertSumArgs) -> Result<(), String> {
        check::product(&[a.rows, a.experts, self.k], a.cols, self.ragged)
    }
}

impl Tunable for ExpertSum {
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        variants(own, sizes().map(|(rows, simdgroups)| Self { rows, simdgroups, ..own }))
    }

    fn same_bits(&self) -> bool {
        true
    }
}

#[kernel]
fn expert_sum(
    k: &ExpertSum,
    x: In<F32>,
    routes: In<F32>,
    #[of(k.matrix)] down: Planes,
    #[when(k.bias)] bias: Option<In<F32>>,
    y: Out<F32>,
    a: Args<ExpertSumArgs>,
) {
    let first = (group(0) * simdgroups() + simdgroup()) * k.rows;
    let first_pair = group(1) * k.k;
    let steps = div_ceil(a.cols, STEP);
    let weight = |pair: Val<u32>| routes.at(super::route(pair, k.k) + k.k);
    let row = |expert: Val<u32>, r: u32| expert * a.rows + min(first + r, a.rows - 1);
    let mut sums = vec![0.0; k.rows as usize];
    for item in (lane()..steps * k.k).step_by(LANES) {
        let (pair, block) = (first_pair + item / steps, item % steps);
        let (expert, weight) = (expert(routes, pair, k.k, a.experts), weight(pair));
        let x = columns(k.ragged, x, pair, block, a.cols);
        for r in 0..k.rows {
            let step = down.step(row(expert, r), block, steps);
            sums[r as usize] = fma(weight, step.dot(&x), sums[r as usize]);
        }
    }
    if let Some(bias) = bias {
        for route in (lane()..k.k).step_by(LANES) {
            let pair = first_pair + route;
            let (expert, weight) = (expert(routes, pair, k.k, a.experts), weight(pair));
            for r in 0..k.rows {
                sums[r as usize] = fma(weight, bias.at(row(expert, r)), sums[r as usize]);
            }
        }
    }
    for r in 0..k.rows {
        let sum = simd_sum(sums[r as usize]);
        if (lane() == 0) & (first + r < a.rows) {
            y.set(group(1) * a.rows + first + r, sum);
        }
    }
}
