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
        each::<S>(x, len, |_, x| {
            let step = softplus::<S>(S::add(x, S::splat(bias)));
            S::min(S::max(step, S::splat(least)), S::splat(greatest))
        })
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
    unsafe { each::<S>(steps, len, |_, d| S::max(S::mul(d, S::splat(rate)), S::splat(-1e5))) }
}

/// The decays themselves.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn factors<S: Isa>(logarithms: &PerToken, len: usize) -> PerToken {
    // SAFETY: the caller vouches for the machine.
    unsafe { each::<S>(logarithms, len, |_, x| exp::<S>(x)) }
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
        unsafe { each::<S>(&self.high, CHUNK, |s, _| self.to::<S>(CHUNK - 1, s)) }
    }

    /// From before the chunk to each token.
    ///
    /// # Safety
    /// The machine has `S`.
    #[inline(always)]
    pub unsafe fn from_start<S: Isa>(&self) -> PerToken {
        // SAFETY: the caller vouches for the machine.
        unsafe { each::<S>(&self.high, CHUNK, |_, x| exp2::<S>(x)) }
    }
}
