//! Operations on elements.

use super::Matrix;
use crate::{Activation, GatedUnit};

/// An activation, rounded once from f64.
pub fn activate(activation: Activation, x: f32) -> f32 {
    activate_f64(activation, f64::from(x)) as f32
}

/// A gated unit, rounded once from f64.
pub fn gated(unit: GatedUnit, gate: f32, up: f32) -> f32 {
    let (gate, up) = (f64::from(gate), f64::from(up));
    let y = match unit {
        GatedUnit::Of(activation) => activate_f64(activation, gate) * up,
        GatedUnit::Clipped { alpha, limit } => {
            let limit = f64::from(limit);
            let (gate, up) = (gate.min(limit), up.clamp(-limit, limit));
            gate / (1.0 + (-f64::from(alpha) * gate).exp()) * (up + 1.0)
        }
    };
    y as f32
}

pub(super) fn activate_f64(activation: Activation, x: f64) -> f64 {
    use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};
    match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + (FRAC_2_PI.sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Gelu => 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2)),
        Activation::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Activation::Relu2 => x.max(0.0).powi(2),
    }
}

/// The error function: `2/sqrt(pi) * exp(-x^2) * sum of 2^n x^(2n+1) / (1 * 3 * ... * (2n+1))`, whose terms
/// all have one sign, so nothing cancels (Abramowitz and Stegun, 7.1.6).
pub fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut odd) = (x, 0.0, 1.0);
    while sum + term != sum {
        sum += term;
        odd += 2.0;
        term *= 2.0 * x * x / odd;
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

pub(super) fn map(x: &Matrix, f: impl Fn(f32) -> f32) -> Matrix {
    Matrix { width: x.width, data: x.data.iter().map(|&x| f(x)).collect() }
}

pub(super) fn add(a: &Matrix, b: &Matrix) -> Matrix {
    zip(a, b, |a, b| a + b)
}

pub(super) fn glu(unit: GatedUnit, gate: &Matrix, up: &Matrix) -> Matrix {
    zip(gate, up, |g, u| gated(unit, g, u))
}

/// `b` may be one element wide.
pub(super) fn mul(a: &Matrix, b: &Matrix) -> Matrix {
    let factor = |i: usize| if b.width == a.width { b.data[i] } else { b.data[i / a.width] };
    let data = a.data.iter().enumerate().map(|(i, &a)| a * factor(i)).collect();
    Matrix { width: a.width, data }
}

fn zip(a: &Matrix, b: &Matrix, f: impl Fn(f32, f32) -> f32) -> Matrix {
    Matrix { width: a.width, data: a.data.iter().zip(&b.data).map(|(&a, &b)| f(a, b)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_has_known_values() {
        let known = [
            (0.0, 0.0),
            (0.5, 0.520_499_877_813_046_5),
            (-1.0, -0.842_700_792_949_714_9),
            (2.0, 0.995_322_265_018_952_7),
            (4.0, 0.999_999_984_582_742_1),
            (9.0, 1.0),
        ];
        for (x, y) in known {
            assert!((erf(x) - y).abs() < 1e-14, "erf({x}) = {}", erf(x));
        }
    }

    #[test]
    fn activations_have_known_values() {
        let known = [
            (Activation::Silu, 1.0, 0.731_058_6),
            (Activation::Gelu, 1.0, 0.841_344_7),
            (Activation::GeluTanh, 1.0, 0.841_192),
            (Activation::Silu, -100.0, 0.0),
            (Activation::Sigmoid, 1.0, 0.731_058_6),
            (Activation::Relu2, -3.0, 0.0),
            (Activation::Relu2, 3.0, 9.0),
        ];
        for (activation, x, y) in known {
            assert!((activate(activation, x) - y).abs() < 1e-6, "{activation:?}({x})");
        }
    }

    #[test]
    fn a_clipped_unit_is_bounded() {
        let unit = GatedUnit::Clipped { alpha: 1.702, limit: 7.0 };
        assert_eq!(gated(unit, 1e9, 1e9), gated(unit, 7.0, 7.0));
        assert_eq!(gated(unit, 1.0, -1e9), gated(unit, 1.0, -7.0));
        assert!((gated(unit, 1.0, 0.0) - 0.845_795_8).abs() < 1e-6);
    }
}
