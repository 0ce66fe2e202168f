//! How a head's state decays over a stretch of tokens.

use std::f64::consts::LOG2_E;

use tessera_graph::CHUNK;

use super::{
    math::{exp, exp2, softplus},
    small::Matrix,
};
use crate::isa::{Isa, LANES};

/// A number for each token of a stretch.
pub(super) type PerToken = [f32; CHUNK];

/// A column of `len` elements; zeros beyond.
///
/// # Safety
/// They are there.
#[inline(always)]
pub(super) unsafe fn column(a: Matrix, column: usize, len: usize) -> PerToken {
    let mut out = [0.0; CHUNK];
    for (t, x) in out.iter_mut().enumerate().take(len) {
        // SAFETY: the caller vouches for the element.
        *x = unsafe { *a.at(t, column) };
    }
    out
}

/// `f` of the first `len` numbers (and of what shares a vector with them).
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn each<S: Isa>(
    x: &PerToken,
    len: usize,
    f: impl Fn(usize, S::F) -> S::F,
) -> PerToken {
    let mut out = [0.0; CHUNK];
    for i in (0..len).step_by(LANES) {
        // SAFETY: whole vectors of both arrays.
        unsafe { S::store(out.as_mut_ptr().add(i), f(i, S::load(x.as_ptr().add(i)))) };
    }
    out
}

/// Steps: `softplus(x + bias)` within `limit`.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn steps<S: Isa>(
    x: &PerToken,
    len: usize,
    bias: f32,
    (least, greatest): (f32, f32),
) -> PerToken {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        each::<S>(
            x,
            len,
            #[inline(always)]
            |_, x| {
                let step = softplus::<S>(S::add(x, S::splat(bias)));
                S::min(S::max(step, S::splat(least)), S::splat(greatest))
            },
        )
    }
}

/// The logarithms of the decays that a state with `rate` suffers in `steps`.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn logarithms<S: Isa>(steps: &PerToken, len: usize, rate: f32) -> PerToken {
    // SAFETY: the caller vouches for the machine. Less than the bound is no different from it, and has
    // no differences.
    unsafe {
        each::<S>(
            steps,
            len,
            #[inline(always)]
            |_, d| S::max(S::mul(d, S::splat(rate)), S::splat(-1e5)),
        )
    }
}

/// The decays themselves.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn factors<S: Isa>(logarithms: &PerToken, len: usize) -> PerToken {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        each::<S>(
            logarithms,
            len,
            #[inline(always)]
            |_, x| exp::<S>(x),
        )
    }
}

/// Decays from token to token of a chunk. Sums of logarithms are kept and subtracted, never decays
/// divided: no exponent is then positive. A sum is two numbers, since its neighbours may differ by little.
pub(super) struct Decays {
    high: PerToken,
    low: PerToken,
}

impl Decays {
    /// Of these logarithms.
    #[inline(always)]
    pub fn new(logarithms: &PerToken) -> Self {
        let (mut high, mut low) = ([0.0; CHUNK], [0.0; CHUNK]);
        let mut sum = 0.0;
        for (t, &x) in logarithms.iter().enumerate() {
            sum += f64::from(x) * LOG2_E;
            high[t] = sum as f32;
            low[t] = (sum - f64::from(high[t])) as f32;
        }
        Self { high, low }
    }

    /// From each of tokens `s .. s + 16` to token `t`; anything for those after `t`.
    ///
    /// # Safety
    /// The machine has `S`.
    #[inline(always)]
    pub unsafe fn to<S: Isa>(&self, t: usize, s: usize) -> S::F {
        // SAFETY: a whole vector of the arrays.
        unsafe {
            let high = S::sub(S::splat(self.high[t]), S::load(self.high.as_ptr().add(s)));
            let low = S::sub(S::splat(self.low[t]), S::load(self.low.as_ptr().add(s)));
            exp2::<S>(S::add(high, low))
        }
    }

    /// From each token to the end.
    ///
    /// # Safety
    /// The machine has `S`.
    #[inline(always)]
    pub unsafe fn to_end<S: Isa>(&self) -> PerToken {
        // SAFETY: the caller vouches for the machine.
        unsafe {
            each::<S>(
                &self.high,
                CHUNK,
                #[inline(always)]
                |s, _| self.to::<S>(CHUNK - 1, s),
            )
        }
    }

    /// From before the chunk to each token.
    ///
    /// # Safety
    /// The machine has `S`.
    #[inline(always)]
    pub unsafe fn since_start<S: Isa>(&self) -> PerToken {
        // SAFETY: the caller vouches for the machine.
        unsafe {
            each::<S>(
                &self.high,
                CHUNK,
                #[inline(always)]
                |_, x| exp2::<S>(x),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Kernel, Level};

    struct Steps(PerToken);

    impl Kernel for Steps {
        type Output = PerToken;

        #[inline(always)]
        unsafe fn run<S: Isa>(self) -> PerToken {
            // SAFETY: the caller's machine has `S`.
            unsafe { steps::<S>(&self.0, CHUNK, 0.25, (0.0, 50.0)) }
        }
    }

    #[test]
    fn steps_are_those_of_double_precision() {
        for level in Level::available() {
            for block in -40..40 {
                let x: PerToken = std::array::from_fn(|i| block as f32 * 2.0 + i as f32 / 32.0);
                // SAFETY: the level is available.
                let got = unsafe { level.run(Steps(x)) };
                for (x, got) in x.into_iter().zip(got) {
                    let want = (f64::from(x) + 0.25).exp().ln_1p().clamp(0.0, 50.0);
                    let error = (f64::from(got) / want - 1.0).abs();
                    assert!(error < 4e-7, "{level}: {x} gives {got}, not {want}");
                }
            }
        }
    }

    /// All pairs of a chunk, and what is left at its end.
    struct Pairs(PerToken);

    impl Kernel for Pairs {
        type Output = (Vec<PerToken>, PerToken, PerToken);

        #[inline(always)]
        unsafe fn run<S: Isa>(self) -> Self::Output {
            let decays = Decays::new(&self.0);
            // SAFETY: the caller's machine has `S`; whole vectors of arrays.
            unsafe {
                let row = |t: usize| {
                    each::<S>(
                        &self.0,
                        CHUNK,
                        #[inline(always)]
                        |s, _| decays.to::<S>(t, s),
                    )
                };
                let rows = (0..CHUNK).map(row).collect();
                (rows, decays.since_start::<S>(), decays.to_end::<S>())
            }
        }
    }

    #[test]
    fn neighbours_far_from_the_start_keep_their_decays() {
        // hundreds of powers away from the chunk's beginning a sum in f32 alone would be too coarse
        for (level, scale) in
            Level::available().into_iter().flat_map(|l| [0.001, 1.0, 30.0, 1e5].map(|s| (l, s)))
        {
            let logs: PerToken =
                std::array::from_fn(|i| -scale * ((i * 29 + 7) % 64) as f32 / 64.0);
            let sum = |range: std::ops::Range<usize>| -> f64 {
                logs[range].iter().map(|&x| f64::from(x)).sum::<f64>().exp()
            };
            // SAFETY: the level is available.
            let (pairs, since_start, to_end) = unsafe { level.run(Pairs(logs)) };
            let near = |got: f32, want: f64| {
                // beyond the smallest normal number there is nothing
                let error = (f64::from(got) - want).abs() / want.max(1e-30);
                assert!(error < 1e-5, "{level}, {scale}: {got}, not {want}");
            };
            for t in 0..CHUNK {
                (0..=t).for_each(|s| near(pairs[t][s], sum(s + 1..t + 1)));
                near(since_start[t], sum(0..t + 1));
                near(to_end[t], sum(t + 1..CHUNK));
            }
        }
    }
}
