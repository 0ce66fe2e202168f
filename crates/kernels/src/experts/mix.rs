//! What experts made of rows, added up.
//!
//! Version 1: a thread an element, its routes in order.

use tessera_tile::prelude::*;

use crate::check::ensure;

/// `y[row] = sum over routes of weight x[pair]`; `x` is `[pairs, width]`, `routes` `[rows, 2 k]`, `y` `[rows, width]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct ExpertMix {
    /// Routes of a row.
    pub k: u32,
    /// Threads of a threadgroup.
    pub threads: u32,
}

/// Scalars of [`ExpertMix`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct ExpertMixArgs {
    /// Elements of a row.
    pub width: u32,
    /// Rows.
    pub rows: u32,
}

impl Spec for ExpertMix {
    type Args = ExpertMixArgs;

    fn threads(&self) -> u32 {
        self.threads
    }

    fn grid(&self, a: &ExpertMixArgs) -> [u32; 3] {
        [a.width.div_ceil(self.threads), a.rows, 1]
    }

    fn check(&self, a: &ExpertMixArgs) -> Result<(), String> {
        ensure!(self.k.min(a.width) > 0, "nothing to add up");
        Ok(())
    }
}

#[kernel]
fn expert_mix(k: &ExpertMix, x: In<F32>, routes: In<F32>, y: Out<F32>, a: Args<ExpertMixArgs>) {
    let at = group(0) * threads() + thread();
    let row = group(1);
    if at < a.width {
        let mut sum = 0.0;
        for route in 0..k.k {
            let weight = routes.at(row * (2 * k.k) + k.k + route);
            sum = fma(weight, x.at((row * k.k + route) * a.width + at), sum);
        }
        y.set(row * a.width + at, sum);
    }
}
