//! Plain products, and what is made of them.

use tessera_graph::Activation;
use tessera_kernels::unit::Unit;
use tessera_quant::Weight;

/// `x W^T` in f64.
pub fn product(weight: &Weight, x: &[f32]) -> Vec<f32> {
    let mut row = vec![0.0; weight.cols];
    let mut y = vec![0.0; x.len() / weight.cols * weight.rows];
    for r in 0..weight.rows {
        weight.decode_row(r, &mut row);
        for (v, x) in x.chunks_exact(weight.cols).enumerate() {
            let sum: f64 = x.iter().zip(&row).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
            y[v * weight.rows + r] = sum as f32;
        }
    }
    y
}

/// What a unit makes of a gate and what it lets through.
pub fn plain_unit(unit: Unit, gate: f32, up: f32, alpha: f32, limit: f32) -> f32 {
    match unit {
        Unit::Gated(Activation::Silu) => gate / (1.0 + (-gate).exp()) * up,
        Unit::Clipped => {
            let (gate, up) = (gate.min(limit), up.clamp(-limit, limit));
            gate / (1.0 + (-alpha * gate).exp()) * (up + 1.0)
        }
        other => panic!("{other:?} is tested with the units"),
    }
}
