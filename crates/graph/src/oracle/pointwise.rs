//! Operations on elements.

use super::Matrix;
use crate::Activation;

/// An activation, rounded once from f64.
pub fn activate(activation: Activation, x: f32) -> f32 {
    use std::f64::consts::{FRAC_1_SQRT_2, FRAC_2_PI};
    let x = f64::from(x);
    let y = match activation {
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::GeluTanh => {
            0.5 * x * (1.0 + (FRAC_2_PI.sqrt() * (x + 0.044715 * x.powi(3))).tanh())
        }
        Activation::Gelu => 0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2)),
    };
    y as f32
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

pub(super) fn glu(activation: Activation, gate: &Matrix, up: &Matrix) -> Matrix {
    zip(gate, up, |g, u| activate(activation, g) * u)
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
        ];
        for (activation, x, y) in known {
            assert!((activate(activation, x) - y).abs() < 1e-6, "{activation:?}({x})");
        }
    }
}
