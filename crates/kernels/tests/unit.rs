//! Activations and gated units against the oracle's, over their whole range.

mod common;

use common::{floats, read, result, run};
use tessera_graph::{
    Activation, ExpertUnit, GatedUnit,
    oracle::{activate, gated},
};
use tessera_kernels::unit::{Unit, softplus};
use tessera_tile::prelude::*;

/// `y = unit(gate, up)`, or the softplus of `up`.
#[derive(Name)]
struct Pointwise {
    unit: Option<Unit>,
}

#[derive(Clone, Copy, tessera_tile::Args)]
struct PointwiseArgs {
    len: u32,
    alpha: f32,
    limit: f32,
}

impl Spec for Pointwise {
    type Args = PointwiseArgs;
    fn threads(&self) -> u32 {
        32
    }
    fn grid(&self, a: &PointwiseArgs) -> [u32; 3] {
        [a.len.div_ceil(32), 1, 1]
    }
    fn check(&self, _: &PointwiseArgs) -> Result<(), String> {
        Ok(())
    }
}

#[kernel]
fn pointwise(k: &Pointwise, gate: In<F32>, up: In<F32>, y: Out<F32>, a: Args<PointwiseArgs>) {
    let i = group(0) * threads() + thread();
    if i < a.len {
        let (gate, up) = (gate.at(i), up.at(i));
        let made = match k.unit {
            Some(unit) => unit.apply(unit.is_gated().then_some(gate), up, a.alpha, a.limit),
            None => softplus(up),
        };
        y.set(i, made);
    }
}

fn inputs() -> Vec<f32> {
    let mut inputs: Vec<f32> = (-1300..=1300).map(|i| i as f32 / 100.0).collect();
    inputs.extend([-1e30, -200.0, -90.0, -40.0, -1e-3, -1e-8, 1e-8, 1e-3, 40.0, 90.0, 200.0]);
    inputs
}

/// Runs it on `(gates, ups)`.
fn made(unit: Option<Unit>, alpha: f32, limit: f32, gates: &[f32], ups: &[f32]) -> Vec<f32> {
    let y = result(ups.len());
    let args = PointwiseArgs { len: ups.len() as u32, alpha, limit };
    run(&Pointwise { unit }, &args, &[&floats(gates), &floats(ups), &y]);
    read(&y)
}

const ALL: [Activation; 5] = [
    Activation::Silu,
    Activation::GeluTanh,
    Activation::Gelu,
    Activation::Sigmoid,
    Activation::Relu2,
];

#[test]
fn activations() {
    let xs = inputs();
    for activation in ALL {
        let (unit, limits) = Unit::of(ExpertUnit::Plain(activation));
        let got = made(Some(unit), limits.alpha, limits.limit, &xs, &xs);
        for (&x, &got) in xs.iter().zip(&got) {
            let wanted = activate(activation, x);
            let error = (got - wanted).abs();
            let limit = 4e-7 * x.abs().clamp(1.0, 1e4).max(wanted.abs());
            let same = got == wanted; // infinities of the squares
            assert!(same || error <= limit, "{activation:?}({x}) is {got}, not {wanted}");
        }
    }
}

#[test]
fn gated_units() {
    let gates = inputs();
    let ups: Vec<f32> = gates.iter().rev().map(|x| x.clamp(-100.0, 100.0)).collect();
    let clipped = GatedUnit::Clipped { alpha: 1.702, limit: 7.0 };
    for unit in ALL.map(GatedUnit::Of).into_iter().chain([clipped]) {
        let (kernel, limits) = Unit::of(ExpertUnit::Gated(unit));
        let got = made(Some(kernel), limits.alpha, limits.limit, &gates, &ups);
        for ((&gate, &up), &got) in gates.iter().zip(&ups).zip(&got) {
            let wanted = gated(unit, gate, up);
            let scale = gate.abs().clamp(1.0, 1e4) * up.abs().max(1.0);
            let error = (got - wanted).abs();
            assert!(
                got == wanted || error <= 5e-7 * scale.max(wanted.abs()),
                "{unit:?}({gate}, {up}) is {got}, not {wanted}"
            );
        }
    }
}

/// Steps of recurrences are small, so it is the relative error that counts.
#[test]
fn softplus_is_exact_where_it_is_small() {
    let xs: Vec<f32> = (-800..=1000).map(|i| i as f32 / 10.0).collect();
    for (&x, got) in xs.iter().zip(made(None, 0.0, 0.0, &xs, &xs)) {
        let exact = f64::from(x);
        let wanted = exact.max(0.0) + (-exact.abs()).exp().ln_1p();
        let error = (f64::from(got) - wanted).abs();
        assert!(error <= 5e-7 * wanted, "softplus({x}) is {got}, not {wanted}");
    }
}
