//! Functions on vectors.

use std::f32::consts::{LN_2, LOG2_E};

use tessera_graph::{Activation, GatedUnit};

use crate::isa::{Isa, LANES};

/// The scale that takes `largest` to 127, and its inverse; zeros for a block of zeros.
#[inline(always)]
pub(super) fn reciprocal_scale(largest: f32) -> (f32, f32) {
    if largest > 0.0 { (largest * (1.0 / 127.0), 127.0 / largest) } else { (0.0, 0.0) }
}

/// `e^x`, within 2 units in the last place for `-87 <= x <= 88`; 0 below, and clamped above.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn exp<S: Isa>(x: S::F) -> S::F {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        let clamped = S::min(S::max(x, S::splat(-87.3)), S::splat(88.0));
        let n = S::round(S::mul(clamped, S::splat(LOG2_E)));
        let nf = S::to_float(n);
        // ln 2 in two parts, so that n * ln 2 is subtracted without rounding
        let r = S::fma(nf, S::splat(-355.0 / 512.0), clamped);
        let r = S::fma(nf, S::splat(2.121_944_4e-4), r);
        // Taylor series to the seventh power: |r| <= ln 2 / 2
        let mut p = S::splat(1.0 / 5040.0);
        for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            p = S::fma(p, r, S::splat(c));
        }
        let y = S::mul(p, S::exp2_int(n));
        // masked scores are minus infinity and must weigh exactly nothing
        S::select_gt(x, S::splat(-87.3), y, S::splat(0.0))
    }
}

/// `2^x`, within 2 units in the last place for `-126 <= x <= 127`; 0 below, and clamped above.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn exp2<S: Isa>(x: S::F) -> S::F {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        let clamped = S::min(S::max(x, S::splat(-126.0)), S::splat(127.0));
        let n = S::round(clamped);
        let r = S::sub(clamped, S::to_float(n));
        // (ln 2)^k / k!: |r| <= 1/2
        let mut p = S::splat(1.540_353e-4);
        for c in [1.333_355_8e-3, 9.618_129e-3, 5.550_411e-2, 0.240_226_5, LN_2, 1.0] {
            p = S::fma(p, r, S::splat(c));
        }
        // masked scores are minus infinity and must weigh exactly nothing
        S::select_gt(x, S::splat(-126.0), S::mul(p, S::exp2_int(n)), S::splat(0.0))
    }
}

/// `tanh(x)`.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn tanh<S: Isa>(x: S::F) -> S::F {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        let one = S::splat(1.0);
        // beyond 9 the result is 1 in f32
        let x = S::min(S::max(x, S::splat(-9.0)), S::splat(9.0));
        let square = S::mul(x, x);
        // near zero 1 - 2 / (e^2x + 1) cancels: use the series there
        let mut p = S::splat(62.0 / 2835.0);
        for c in [-17.0 / 315.0, 2.0 / 15.0, -1.0 / 3.0, 1.0] {
            p = S::fma(p, square, S::splat(c));
        }
        let near = S::mul(x, p);
        let e = exp::<S>(S::add(x, x));
        let far = S::sub(one, S::div(S::splat(2.0), S::add(e, one)));
        S::select_gt(S::splat(0.04), square, near, far)
    }
}

/// A gated unit.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn gated<S: Isa>(unit: GatedUnit, gate: S::F, up: S::F) -> S::F {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        match unit {
            GatedUnit::Of(activation) => S::mul(activate::<S>(activation, gate), up),
            GatedUnit::Clipped { alpha, limit } => {
                let gate = S::min(gate, S::splat(limit));
                let up = S::min(S::max(up, S::splat(-limit)), S::splat(limit));
                let sigmoid = sigmoid::<S>(S::mul(gate, S::splat(alpha)));
                S::mul(S::mul(gate, sigmoid), S::add(up, S::splat(1.0)))
            }
        }
    }
}

/// `1 / (1 + e^-x)`.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn sigmoid<S: Isa>(x: S::F) -> S::F {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        // clamped: the sigmoid of less is no different from zero beside what it multiplies
        let power = S::min(S::mul(x, S::splat(-LOG2_E)), S::splat(120.0));
        S::reciprocal(S::add(S::splat(1.0), exp2::<S>(power)))
    }
}

/// An activation function.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn activate<S: Isa>(activation: Activation, x: S::F) -> S::F {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        let one = S::splat(1.0);
        match activation {
            Activation::Silu => S::mul(x, sigmoid::<S>(x)),
            Activation::Sigmoid => sigmoid::<S>(x),
            Activation::Relu2 => {
                let x = S::max(x, S::splat(0.0));
                S::mul(x, x)
            }
            Activation::GeluTanh => {
                let cube = S::mul(S::mul(x, x), x);
                let inner = S::fma(cube, S::splat(0.044_715), x);
                let t = tanh::<S>(S::mul(inner, S::splat(0.797_884_6)));
                S::mul(S::mul(x, S::splat(0.5)), S::add(one, t))
            }
            Activation::Gelu => {
                let erf = erf::<S>(S::mul(x, S::splat(std::f32::consts::FRAC_1_SQRT_2)));
                S::mul(S::mul(x, S::splat(0.5)), S::add(one, erf))
            }
        }
    }
}

/// The error function, absolute error below 2e-7 (Abramowitz and Stegun 7.1.26).
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
unsafe fn erf<S: Isa>(x: S::F) -> S::F {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        let one = S::splat(1.0);
        let a = S::abs(x);
        let t = S::div(one, S::fma(S::splat(0.327_591_1), a, one));
        let mut p = S::splat(1.061_405_4);
        for c in [-1.453_152, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
            p = S::fma(p, t, S::splat(c));
        }
        let e = exp::<S>(S::sub(S::splat(0.0), S::mul(a, a)));
        let y = S::sub(one, S::mul(S::mul(p, t), e));
        S::select_gt(S::splat(0.0), x, S::sub(S::splat(0.0), y), y)
    }
}

/// `out = f(index, a)` for `n` elements, a vector at a time.
///
/// # Safety
/// `a` and `out` are good for `n` elements; the machine has `S`.
#[inline(always)]
pub(super) unsafe fn map<S: Isa>(
    a: *const f32,
    out: *mut f32,
    n: usize,
    f: impl Fn(usize, S::F) -> S::F,
) {
    // SAFETY: whole vectors lie within `n`; the rest goes through a local copy.
    unsafe {
        for i in (0..n).step_by(LANES) {
            let here = LANES.min(n - i);
            store_some::<S>(out.add(i), f(i, load_some::<S>(a.add(i), here)), here);
        }
    }
}

/// The first `n <= 16` elements at `p`, then zeros.
///
/// # Safety
/// `p` is good for `n` elements; the machine has `S`.
#[inline(always)]
pub(crate) unsafe fn load_some<S: Isa>(p: *const f32, n: usize) -> S::F {
    if n == LANES {
        // SAFETY: sixteen elements are there.
        return unsafe { S::load(p) };
    }
    let mut lanes = [0.0f32; LANES];
    // SAFETY: `n` elements are read, fewer than the array holds.
    unsafe {
        std::ptr::copy_nonoverlapping(p, lanes.as_mut_ptr(), n);
        S::load(lanes.as_ptr())
    }
}

/// Stores the first `n <= 16` lanes.
///
/// # Safety
/// `p` is good for `n` elements; the machine has `S`.
#[inline(always)]
pub(super) unsafe fn store_some<S: Isa>(p: *mut f32, x: S::F, n: usize) {
    if n == LANES {
        // SAFETY: there is room for sixteen elements.
        return unsafe { S::store(p, x) };
    }
    let mut lanes = [0.0f32; LANES];
    // SAFETY: `n` elements are written, no more than the array holds.
    unsafe {
        S::store(lanes.as_mut_ptr(), x);
        std::ptr::copy_nonoverlapping(lanes.as_ptr(), p, n);
    }
}
