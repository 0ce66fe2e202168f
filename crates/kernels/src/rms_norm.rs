//! Root-mean-square norm of rows, or of each head of a row.
//!
//! Version 1: one threadgroup a head; the sum of squares by simdgroups, then by the first of them.

use tessera_tile::prelude::*;

use crate::{
    check::ensure,
    tune::{Tunable, variants},
};

/// `y = x / sqrt(mean(x^2) + eps) * (weight + offset)`.
///
/// `x` and `y` are `[rows, heads * width]`; `weight` is `[width]`, or with `per_head` `[heads * width]`. `y` may be `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct RmsNorm {
    /// Whether each head has weights of its own.
    pub per_head: bool,
    /// Threads for a head, a multiple of 32.
    pub threads: u32,
}

/// Scalars of [`RmsNorm`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct RmsNormArgs {
    /// Elements of a head.
    pub width: u32,
    /// Heads of a row.
    pub heads: u32,
    /// Rows.
    pub rows: u32,
    /// Added to the mean square.
    pub eps: f32,
    /// Added to the weight.
    pub offset: f32,
}

impl Spec for RmsNorm {
    type Args = RmsNormArgs;

    fn threads(&self) -> u32 {
        self.threads
    }

    fn grid(&self, a: &RmsNormArgs) -> [u32; 3] {
        [a.heads, a.rows, 1]
    }

    fn check(&self, a: &RmsNormArgs) -> Result<(), String> {
        ensure!(a.width > 0, "a head of no elements");
        Ok(())
    }
}

impl Tunable for RmsNorm {
    fn candidates(&self) -> Vec<Self> {
        let of = |threads| Self { threads, ..*self };
        variants(*self, [32, 64, 128, 256, 512].into_iter().map(of))
    }

    fn same_bits(&self) -> bool {
        false
    }
}

#[kernel]
fn rms_norm(k: &RmsNorm, x: In<F32>, weight: In<F32>, y: Out<F32>, a: Args<RmsNormArgs>) {
    let head = group(0);
    let first = (group(1) * a.heads + head) * a.width;
    let mut sum = 0.0;
    for i in (thread()..a.width).step_by(threads()) {
        let v = x.at(first + i);
        sum = fma(v, v, sum);
    }
    let total = group_sum("parts", sum);
    let scale = rsqrt(total / a.width.f32() + a.eps);
    for i in (thread()..a.width).step_by(threads()) {
        let w = weight.at(if k.per_head { head * a.width + i } else { i });
        y.set(first + i, x.at(first + i) * scale * (w + a.offset));
    }
}

/// The sum over a threadgroup, the same for all its threads. `name` is that of the shared array it uses.
#[device]
pub fn group_sum(name: &'static str, x: impl Get<f32>) -> Val<f32> {
    let sum = simd_sum(x);
    if simdgroups() == 1 {
        sum
    } else {
        let parts = shared::<F32>(name, simdgroups());
        if lane() == 0 {
            parts.set(simdgroup(), sum);
        }
        barrier();
        let mut total = parts.at(0);
        for i in 1..simdgroups() {
            total += parts.at(i);
        }
        total.get()
    }
}
