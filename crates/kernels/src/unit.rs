//! Functions of elements that kernels share: activations, gated units, and what recurrences make of their inputs.
//!
//! No intermediate is infinite, whatever the input: devices that compute fast do not promise what comes of infinities.

use tessera_graph::{Activation, ExpertUnit, GatedUnit};
use tessera_tile::prelude::*;

/// What is between the matrices of a feed-forward network, as a part of a specialisation; [`Limits`] has its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub enum Unit {
    /// `activation(gate) * up`.
    Gated(#[name(name)] Activation),
    /// `g * sigmoid(alpha * g) * (u + 1)`, with `g` at most `limit` and `u` within it on both sides.
    Clipped,
    /// `activation(up)`; there is no gate.
    Plain(#[name(name)] Activation),
}

/// Numbers of [`Unit::Clipped`]; nobody reads them with others.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Limits {
    /// Steepness of the sigmoid.
    pub alpha: f32,
    /// Largest magnitude.
    pub limit: f32,
}

impl Unit {
    /// A graph's unit.
    pub fn of(unit: ExpertUnit) -> (Self, Limits) {
        match unit {
            ExpertUnit::Plain(activation) => (Self::Plain(activation), Limits::default()),
            ExpertUnit::Gated(GatedUnit::Of(activation)) => {
                (Self::Gated(activation), Limits::default())
            }
            ExpertUnit::Gated(GatedUnit::Clipped { alpha, limit }) => {
                (Self::Clipped, Limits { alpha, limit })
            }
        }
    }

    /// Whether it has a gate.
    pub fn is_gated(self) -> bool {
        !matches!(self, Self::Plain(_))
    }

    /// Its result. `gate` is there where the unit has one; `alpha` and `limit` are those of [`Limits`].
    pub fn apply(
        self,
        gate: Option<Val<f32>>,
        up: Val<f32>,
        alpha: Val<f32>,
        limit: Val<f32>,
    ) -> Val<f32> {
        match (self, gate) {
            (Self::Gated(activation), Some(gate)) => activate(activation, gate) * up,
            (Self::Clipped, Some(gate)) => clipped(gate, up, alpha, limit),
            (Self::Plain(activation), None) => activate(activation, up),
            _ => unreachable!("a unit has a gate if and only if it is gated"),
        }
    }
}

/// Part of a kernel's name.
pub fn name(activation: Activation) -> &'static str {
    match activation {
        Activation::Silu => "silu",
        Activation::GeluTanh => "gelu_tanh",
        Activation::Gelu => "gelu",
        Activation::Sigmoid => "sigmoid",
        Activation::Relu2 => "relu2",
    }
}

/// An activation.
pub fn activate(activation: Activation, x: Val<f32>) -> Val<f32> {
    match activation {
        Activation::Silu => x * sigmoid(x),
        Activation::GeluTanh => gelu_tanh(x),
        Activation::Gelu => gelu(x),
        Activation::Sigmoid => sigmoid(x),
        Activation::Relu2 => {
            let positive = max(x, 0.0);
            positive * positive
        }
    }
}

/// The unit of gpt-oss.
fn clipped(gate: Val<f32>, up: Val<f32>, alpha: Val<f32>, limit: Val<f32>) -> Val<f32> {
    let gate = min(gate, limit);
    let up = max(min(up, limit), -limit);
    gate * sigmoid(alpha * gate) * (up + 1.0)
}

/// `1 / (1 + exp(-x))`.
#[device]
pub fn sigmoid(x: Val<f32>) -> Val<f32> {
    let small = exp(-abs(x));
    select(x >= 0.0, 1.0, small) / (small + 1.0)
}

/// GELU by the hyperbolic tangent: `(1 + tanh z) / 2` is the sigmoid of `2 z`.
fn gelu_tanh(x: Val<f32>) -> Val<f32> {
    let twice_z = x * fma(x * x, 2.0 * 0.044_715 * ROOT_2_PI, 2.0 * ROOT_2_PI);
    x * sigmoid(twice_z)
}

/// `sqrt(2 / pi)`.
const ROOT_2_PI: f32 = 0.797_884_6;

/// GELU by the error function, of which Abramowitz and Stegun's 7.1.26 is good to 1.5e-7. The tail, half of what the
/// function lacks to 1, is never taken from 1 on the side where it is small.
#[device]
pub fn gelu(x: Val<f32>) -> Val<f32> {
    let z = abs(x) * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / fma(z, 0.327_591_1, 1.0);
    let mut sum = val(1.061_405_4);
    for coefficient in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        sum = fma(sum, t, coefficient);
    }
    let tail = sum * t * exp(-(z * z)) * 0.5;
    x * select(x >= 0.0, 1.0 - tail, tail)
}

/// `ln(1 + exp(x))`, with a small relative error where it is small.
#[device]
pub fn softplus(x: Val<f32>) -> Val<f32> {
    let t = exp(-abs(x));
    // ln(1 + t) = 2 artanh(t / (2 + t)), of at most a third
    let s = t / (t + 2.0);
    let square = s * s;
    let mut sum = val(1.0 / 15.0);
    for odd in [13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = fma(sum, square, 1.0 / odd);
    }
    max(x, 0.0) + s * sum * 2.0
}
