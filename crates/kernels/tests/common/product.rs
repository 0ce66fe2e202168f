//! Plain products.

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
