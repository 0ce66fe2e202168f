//! Products of pairs by their experts' matrices.
//!
//! Version 1: as [`matvec`](crate::matvec); a simdgroup makes `rows` rows of an expert, for one pair or for a tile of them,
//! and reads each weight once for all of these.

use tessera_tile::prelude::*;

use super::{columns, expert};
use crate::{
    check,
    codes::{Matrix, Planes, STEP},
    tune::{Tunable, pairs, variants},
    unit::Unit,
};

/// With a unit `y[pair] = unit(gate x[row], up x[row])`, `x: [rows, cols]`; without one `y[pair] = up x[pair]`, `x: [pairs,
/// cols]`. Products are with the matrices of the pair's expert, and its biases are added to them.
///
/// `gate` and `up` are `[experts * rows, cols]`, their biases `[experts * rows]`, `y` is `[pairs, rows]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct ExpertProduct {
    /// Packing of `up`, and of `gate`.
    pub matrix: Matrix,
    /// What becomes of the products.
    pub unit: Option<Unit>,
    /// Routes of a row.
    pub k: u32,
    /// Pairs of a tile at most, of an [`ExpertSort`](super::sort::ExpertSort); `None` for each pair by itself.
    pub tile: Option<u32>,
    /// Whether there are biases.
    pub bias: bool,
    /// Whether `cols` is not a multiple of 32.
    pub ragged: bool,
    /// Rows of a matrix for a simdgroup.
    pub rows: u32,
    /// Simdgroups of a threadgroup.
    pub simdgroups: u32,
}

/// Scalars of [`ExpertProduct`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct ExpertProductArgs {
    /// Experts.
    pub experts: u32,
    /// Rows of an expert's matrix.
    pub rows: u32,
    /// Columns of it.
    pub cols: u32,
    /// Pairs, or tiles of them.
    pub items: u32,
    /// Of the unit: [`Limits`](crate::unit::Limits).
    pub alpha: f32,
    /// Of the unit.
    pub limit: f32,
}

impl ExpertProduct {
    fn is_gated(&self) -> bool {
        self.unit.is_some_and(Unit::is_gated)
    }
}

impl Spec for ExpertProduct {
    type Args = ExpertProductArgs;

    fn threads(&self) -> u32 {
        self.simdgroups * LANES
    }

    fn grid(&self, a: &ExpertProductArgs) -> [u32; 3] {
        [a.rows.div_ceil(self.rows * self.simdgroups), a.items, 1]
    }

    fn check(&self, a: &ExpertProductArgs) -> Result<(), String> {
        check::product(&[a.rows, a.items, a.experts], a.cols, self.ragged)
    }
}

impl Tunable for ExpertProduct {
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        let sizes = pairs(&[1, 2, 4], &[1, 2, 4, 8]);
        variants(own, sizes.map(|(rows, simdgroups)| Self { rows, simdgroups, ..own }))
    }

    fn same_bits(&self) -> bool {
        true
    }
}

#[kernel]
fn expert_product(
    k: &ExpertProduct,
    x: In<F32>,
    #[when(k.tile.is_none())] routes: Option<In<F32>>,
    #[when(k.tile.is_some())] order: Option<In<U32>>,
    #[when(k.tile.is_some())] tiles: Option<In<U32>>,
    #[when(k.is_gated())]
    #[of(k.matrix)]
    gate: Option<Planes>,
    #[when(k.is_gated() && k.bias)] gate_bias: Option<In<F32>>,
    #[of(k.matrix)] up: Planes,
    #[when(k.bias)] up_bias: Option<In<F32>>,
    y: Out<F32>,
    a: Args<ExpertProductArgs>,
) {
    let work = Work { k, x, gate, gate_bias, up, up_bias, y, a };
    if let (Some(order), Some(tiles)) = (order, tiles) {
        let [expert, first, count, _] = tiles.load(group(1) * 4);
        if count > 0 {
            let pair = |v: u32| order.at(first + min(v, count - 1));
            let pairs: Vec<_> = (0..k.tile.unwrap_or(1)).map(pair).collect();
            products(&work, expert, &pairs, count);
        }
    }
    if let Some(routes) = routes {
        let expert = expert(routes, group(1), k.k, work.a.experts);
        products(&work, expert, &[group(1)], val(1));
    }
}

/// What a kernel was given.
struct Work<'a> {
    k: &'a ExpertProduct,
    x: In<F32>,
    gate: Option<Planes>,
    gate_bias: Option<In<F32>>,
    up: Planes,
    up_bias: Option<In<F32>>,
    y: Out<F32>,
    a: Args<ExpertProductArgs>,
}

/// This simdgroup's rows for the first `count` of `pairs`.
#[device]
fn products(w: &Work<'_>, expert: Val<u32>, pairs: &[Val<u32>], count: Val<u32>) {
    let (k, a) = (w.k, &w.a);
    let first = (group(0) * simdgroups() + simdgroup()) * k.rows;
    let row = |r: u32| expert * a.rows + min(first + r, a.rows - 1);
    let rows: Vec<_> = (0..k.rows).map(row).collect();
    let of_row = |&pair: &Val<u32>| if k.unit.is_some() { pair / k.k } else { pair };
    let inputs: Vec<_> = pairs.iter().map(of_row).collect();
    let steps = div_ceil(a.cols, STEP);
    let mut ups = vec![vec![0.0; pairs.len()]; rows.len()];
    let mut gates = vec![vec![0.0; pairs.len()]; if w.gate.is_some() { rows.len() } else { 0 }];
    for block in (lane()..steps).step_by(LANES) {
        let of = |planes: &Planes| -> Vec<_> {
            rows.iter().map(|&row| planes.step(row, block, steps)).collect()
        };
        let up_steps = of(&w.up);
        let gate_steps = w.gate.as_ref().map_or(Vec::new(), of);
        for v in 0..pairs.len() {
            let x = columns(k.ragged, w.x, inputs[v], block, a.cols);
            for r in 0..rows.len() {
                ups[r][v] += up_steps[r].dot(&x);
            }
            for r in 0..gates.len() {
                gates[r][v] += gate_steps[r].dot(&x);
            }
        }
    }
    for r in 0..rows.len() {
        for v in 0..pairs.len() {
            let biased = |sum: Val<f32>, bias: Option<In<F32>>| {
                bias.map_or(sum, |bias| sum + bias.at(rows[r]))
            };
            let up = biased(simd_sum(ups[r][v]), w.up_bias);
            let gate = gates.get(r).map(|gates| biased(simd_sum(gates[v]), w.gate_bias));
            let made = k.unit.map_or(up, |unit| unit.apply(gate, up, a.alpha, a.limit));
            let row = first + r as u32;
            if (lane() == 0) & (row < a.rows) & (count > v as u32) {
                w.y.set(pairs[v] * a.rows + row, made);
            }
        }
    }
}
