//! Norms against plain sums.

mod common;

use common::{close, floats, random, read, result, run};
use tessera_kernels::{
    layer_norm::{LayerNorm, LayerNormArgs},
    rms_norm::{RmsNorm, RmsNormArgs},
};

#[test]
fn rows_and_heads() {
    for (heads, width, rows, per_head, threads) in
        [(1, 1, 1, false, 32), (1, 100, 3, false, 64), (3, 70, 2, false, 32), (4, 33, 3, true, 96)]
    {
        let kernel = RmsNorm { per_head, threads };
        let x = random(1, rows * heads * width);
        let weight = random(2, if per_head { heads * width } else { width });
        let (eps, offset) = (1e-5, 1.0);
        let mut wanted = Vec::new();
        for (i, head) in x.chunks_exact(width).enumerate() {
            let mean = head.iter().map(|x| f64::from(x * x)).sum::<f64>() / width as f64;
            let scale = 1.0 / (mean + f64::from(eps)).sqrt();
            let first = if per_head { i % heads * width } else { 0 };
            let weights = weight[first..][..width].iter();
            wanted.extend(
                head.iter()
                    .zip(weights)
                    .map(|(x, w)| (f64::from(*x) * scale) as f32 * (w + offset)),
            );
        }
        let y = result(x.len());
        let (width, heads, rows) = (width as u32, heads as u32, rows as u32);
        let args = RmsNormArgs { width, heads, rows, eps, offset };
        run(&kernel, &args, &[&floats(&x), &floats(&weight), &y]);
        close(&format!("{kernel:?} {args:?}"), &read(&y), &wanted, 1e-6);
    }
}

#[test]
fn about_the_mean() {
    for (width, rows, threads) in [(1, 1, 32), (31, 2, 32), (200, 3, 64), (33, 1, 128)] {
        let kernel = LayerNorm { threads };
        let x: Vec<f32> = random(1, rows * width).iter().map(|x| x + 2.0).collect();
        let (weight, bias) = (random(2, width), random(3, width));
        let eps = 1e-5;
        let mut wanted = Vec::new();
        for row in x.chunks_exact(width) {
            let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
            let square = |&x: &f32| (f64::from(x) - mean).powi(2);
            let variance = row.iter().map(square).sum::<f64>() / width as f64;
            let scale = 1.0 / (variance + f64::from(eps)).sqrt();
            for ((x, w), b) in row.iter().zip(&weight).zip(&bias) {
                wanted.push(((f64::from(*x) - mean) * scale) as f32 * w + b);
            }
        }
        let y = result(x.len());
        let args = LayerNormArgs { width: width as u32, rows: rows as u32, eps };
        run(&kernel, &args, &[&floats(&x), &floats(&weight), &floats(&bias), &y]);
        close(&format!("{kernel:?} {args:?}"), &read(&y), &wanted, 2e-6);
    }
}
