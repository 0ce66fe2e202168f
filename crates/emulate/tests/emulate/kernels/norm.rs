//! Root mean square normalisation: one threadgroup a row, a sum through shared memory.

use tessera_tile::{ir::Elem, prelude::*};

use super::case::{Case, Draw, Expected, bytes_f16, bytes_f32};

#[derive(Name)]
struct RmsNorm;

#[derive(Clone, Copy, tessera_tile::Args)]
struct RmsNormArgs {
    rows: u32,
    dim: u32,
    eps: f32,
}

impl Spec for RmsNorm {
    type Args = RmsNormArgs;
    fn threads(&self) -> u32 {
        128
    }
    fn grid(&self, a: &RmsNormArgs) -> [u32; 3] {
        [a.rows, 1, 1]
    }
    fn check(&self, _: &RmsNormArgs) -> Result<(), String> {
        Ok(())
    }
}

#[kernel]
fn rms_norm(_k: &RmsNorm, x: In<F16>, weight: In<F32>, y: Out<F16>, a: Args<RmsNormArgs>) {
    let part = shared::<F32>("part", simdgroups());
    let total = shared::<F32>("total", 1);
    let row = group(0) * a.dim;
    let mut squares = 0.0f32;
    for i in (thread()..a.dim).step_by(threads()) {
        let v = x.at(row + i);
        squares = fma(v, v, squares);
    }
    let squares = simd_sum(squares);
    if lane() == 0 {
        part.set(simdgroup(), squares);
    }
    barrier();
    if simdgroup() == 0 {
        let sum =
            simd_sum(select(lane() < simdgroups(), part.at(min(lane(), simdgroups() - 1)), 0.0f32));
        if lane() == 0 {
            total.set(0u32, sum);
        }
    }
    barrier();
    let scale = rsqrt(total.at(0u32) / a.dim.f32() + a.eps);
    for i in (thread()..a.dim).step_by(threads()) {
        y.set(row + i, x.at(row + i) * scale * weight.at(i));
    }
}

pub fn norm(rows: usize, dim: usize) -> Case {
    let mut draw = Draw::new(dim as u64);
    let (x, weight, eps) = (draw.halves(rows * dim), draw.floats(dim), 1e-3f32);
    let mut y = Vec::new();
    for row in x.chunks(dim) {
        let square = row.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / dim as f64;
        let scale = 1.0 / (square + f64::from(eps)).sqrt();
        y.extend(row.iter().zip(&weight).map(|(&v, &w)| f64::from(v) * scale * f64::from(w)));
    }
    let buffers = vec![bytes_f16(&x), bytes_f32(&weight), vec![0x55; 2 * rows * dim]];
    let args = RmsNormArgs { rows: rows as u32, dim: dim as u32, eps };
    Case::new(&RmsNorm, args, buffers, vec![(2, Expected::Near(Elem::F16, y, 1e-3))])
}
