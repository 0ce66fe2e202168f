//! Norm of rows about their mean.
//!
//! Version 1: one threadgroup a row, which reads it three times.

use tessera_tile::prelude::*;

use crate::{check::ensure, rms_norm::group_sum};

/// `y = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * weight + bias`; `x` and `y` are `[rows, width]`, `weight` and
/// `bias` `[width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct LayerNorm {
    /// Threads for a row, a multiple of 32.
    pub threads: u32,
}

/// Scalars of [`LayerNorm`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct LayerNormArgs {
    /// Elements of a row.
    pub width: u32,
    /// Rows.
    pub rows: u32,
    /// Added to the variance.
    pub eps: f32,
}

impl Spec for LayerNorm {
    type Args = LayerNormArgs;

    fn threads(&self) -> u32 {
        self.threads
    }

    fn grid(&self, a: &LayerNormArgs) -> [u32; 3] {
        [a.rows, 1, 1]
    }

    fn check(&self, a: &LayerNormArgs) -> Result<(), String> {
        ensure!(a.width > 0, "a row of no elements");
        Ok(())
    }
}

#[kernel]
fn layer_norm(
    _k: &LayerNorm,
    x: In<F32>,
    weight: In<F32>,
    bias: In<F32>,
    y: Out<F32>,
    a: Args<LayerNormArgs>,
) {
    let first = group(0) * a.width;
    let count = a.width.f32();
    let mut sum = 0.0;
    for i in (thread()..a.width).step_by(threads()) {
        sum += x.at(first + i);
    }
    let mean = group_sum("sums", sum) / count;
    let mut squares = 0.0;
    for i in (thread()..a.width).step_by(threads()) {
        let from = x.at(first + i) - mean;
        squares = fma(from, from, squares);
    }
    let scale = rsqrt(group_sum("squares", squares) / count + a.eps);
    for i in (thread()..a.width).step_by(threads()) {
        let value = (x.at(first + i) - mean) * scale;
        y.set(first + i, fma(value, weight.at(i), bias.at(i)));
    }
}
