//! Products of pairs by their experts' gates and what these let through.
//!
//! Version 1: as [`matvec`](crate::matvec); a simdgroup makes `rows` results of a pair.
//! Version 2: a gate's matrix and what it lets through are one under the other.

use tessera_tile::prelude::*;

use super::{columns, expert, sizes};
use crate::{
    check,
    codes::{Matrix, Planes, STEP},
    end::End,
    tune::{Tunable, variants},
    unit::Unit,
};

/// `y[pair] = unit(W x[pair / k] + bias)` with the matrix of the pair's expert: a gate's and what it lets through, one under
/// the other, if the unit has a gate.
///
/// `W` is `[experts * rows, cols]`, so is `bias`; `x` is `[rows of the step, cols]`, `routes` `[rows of the step, 2 k]`, `y` `[pairs,
/// rows]`, or rows / 2 with a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct ExpertProduct {
    /// Packing of `W`.
    pub matrix: Matrix,
    /// What becomes of the products.
    pub unit: Unit,
    /// Routes of a row.
    pub k: u32,
    /// Whether there are biases.
    pub bias: bool,
    /// Whether `cols` is not a multiple of 32.
    pub ragged: bool,
    /// Results for a simdgroup.
    pub rows: u32,
    /// Simdgroups of a threadgroup.
    pub simdgroups: u32,
}

/// Scalars of [`ExpertProduct`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct ExpertProductArgs {
    /// Experts.
    pub experts: u32,
    /// Rows of an expert's matrix, both halves of it.
    pub rows: u32,
    /// Columns of it.
    pub cols: u32,
    /// Pairs.
    pub pairs: u32,
    /// Of the unit: [`Limits`](crate::unit::Limits).
    pub alpha: f32,
    /// Of the unit.
    pub limit: f32,
}

impl ExpertProduct {
    fn end(&self) -> End {
        End::Unit(self.unit)
    }
}

impl Spec for ExpertProduct {
    type Args = ExpertProductArgs;

    fn threads(&self) -> u32 {
        self.simdgroups * LANES
    }

    fn grid(&self, a: &ExpertProductArgs) -> [u32; 3] {
        let results = a.rows / self.end().halves();
        [results.div_ceil(self.rows * self.simdgroups), a.pairs, 1]
    }

    fn check(&self, a: &ExpertProductArgs) -> Result<(), String> {
        check::product(&[a.rows, a.pairs, a.experts], a.cols, self.ragged)?;
        self.end().check(a.rows, 0, 0)
    }
}

impl Tunable for ExpertProduct {
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        variants(own, sizes().map(|(rows, simdgroups)| Self { rows, simdgroups, ..own }))
    }

    fn same_bits(&self) -> bool {
        true
    }
}

#[kernel]
fn expert_product(
    k: &ExpertProduct,
    x: In<F32>,
    routes: In<F32>,
    #[of(k.matrix)] w: Planes,
    #[when(k.bias)] bias: Option<In<F32>>,
    y: Out<F32>,
    a: Args<ExpertProductArgs>,
) {
    let pair = group(1);
    let results = a.rows / k.end().halves();
    let base = expert(routes, pair, k.k, a.experts) * a.rows;
    let first = (group(0) * simdgroups() + simdgroup()) * k.rows;
    let half = |half: u32| {
        let row = move |r: u32| base + half * results + min(first + r, results - 1);
        (0..k.rows).map(row).collect::<Vec<_>>()
    };
    let rows: Vec<_> = (0..k.end().halves()).flat_map(half).collect();
    let steps = div_ceil(a.cols, STEP);
    let mut sums = vec![0.0; rows.len()];
    for block in (lane()..steps).step_by(LANES) {
        let packed: Vec<_> = rows.iter().map(|&row| w.step(row, block, steps)).collect();
        let x = columns(k.ragged, x, pair / k.k, block, a.cols);
        for i in 0..rows.len() {
            sums[i] += packed[i].dot(&x);
        }
    }
    for r in 0..k.rows {
        let product = |half: u32| {
            let i = (r + half * k.rows) as usize;
            let sum = simd_sum(sums[i]);
            bias.map_or(sum, |bias| sum + bias.at(rows[i]))
        };
        let made = k.end().result(product, a.alpha, a.limit);
        if (lane() == 0) & (first + r < results) {
            y.set(pair * results + first + r, made);
        }
    }
}
