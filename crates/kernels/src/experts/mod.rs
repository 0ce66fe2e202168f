//! Mixtures of experts: the graph's operation `Experts`, once rows have their [routes](crate::route).
//!
//! A layer's experts lie stacked, expert after expert, in two packed matrices: `[experts * 2 width, in]` of each expert's
//! gate and what it lets through (`[experts * width, in]` where there are no gates), and `[experts * in, width]`; so do their
//! biases. A *pair* is a row and one of its routes, number `row * k + route`; what is between the matrices is `[pairs, width]`.
//!
//! | few rows | many rows |
//! |---|---|
//! | | [`sort`]: pairs in the order of their experts, and tiles of a few pairs of one expert |
//! | [`product`] of each pair by the first matrix | [`matmul`] of each tile by it |
//! | | [`matmul`] of each tile by the second: `[pairs, in]` |
//! | [`sum`]: products by down, added up | [`mix`]: those of each row added up |
//!
//! No grid depends on where rows go, and no sum on what else is in the step.

pub mod matmul;
pub mod mix;
pub mod product;
pub mod sort;
pub mod sum;

use tessera_tile::{flow::Compare, prelude::*};

use crate::{codes::STEP, tune::pairs};

/// Rows of a matrix for a simdgroup, and simdgroups of a threadgroup, that are worth a try.
fn sizes() -> impl Iterator<Item = (u32, u32)> {
    pairs(&[1, 2, 4], &[1, 2, 4, 8])
}

/// The expert of a pair; one that there is, whatever the route says.
pub(crate) fn expert(routes: In<F32>, pair: Val<u32>, k: u32, experts: Val<u32>) -> Val<u32> {
    min(routes.at(route(pair, k)).u32(), experts - 1)
}

/// Where a pair's expert is in `routes`; its weight is `k` further.
pub(crate) fn route(pair: Val<u32>, k: u32) -> Val<u32> {
    pair / k * (2 * k) + pair % k
}

/// [`STEP`] elements of vector `v`, zeros beyond its end.
pub(crate) fn columns(
    ragged: bool,
    x: In<F32>,
    v: Val<u32>,
    block: Val<u32>,
    cols: Val<u32>,
) -> Vec<Val<f32>> {
    let first = v * cols + block * STEP;
    if !ragged {
        return (0..STEP / 4).flat_map(|i| x.load::<4>(first + i * 4)).collect();
    }
    (0..STEP)
        .map(|i| {
            let inside = Compare::lt(block * STEP + i, cols);
            select(inside, x.at(select(inside, first + i, first)), 0.0)
        })
        .collect()
}
