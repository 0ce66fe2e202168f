//! A matrix of 4 bits in affine groups times a vector: one simdgroup a row.

use tessera_tile::{ir::Elem, prelude::*};

use super::case::{Case, Draw, Expected, bytes_f16, bytes_f32, bytes_u32};

#[derive(Name)]
struct Matvec {
    group: u32,
}

#[derive(Clone, Copy, tessera_tile::Args)]
struct MatvecArgs {
    rows: u32,
    columns: u32,
}

impl Spec for Matvec {
    type Args = MatvecArgs;
    fn threads(&self) -> u32 {
        64
    }
    fn grid(&self, a: &MatvecArgs) -> [u32; 3] {
        [a.rows.div_ceil(2), 1, 1]
    }
    fn check(&self, a: &MatvecArgs) -> Result<(), String> {
        match a.columns % self.group {
            0 => Ok(()),
            _ => Err(format!("{} columns are not whole groups of {}", a.columns, self.group)),
        }
    }
}

#[kernel]
fn matvec_kernel(
    k: &Matvec,
    weight: In<U32>,
    scales: In<F16>,
    biases: In<F16>,
    x: In<F32>,
    y: Out<F32>,
    a: Args<MatvecArgs>,
) {
    let row = group(0) * simdgroups() + simdgroup();
    if row < a.rows {
        let mut sum = 0.0f32;
        for column in (lane() * 8..a.columns).step_by(8 * LANES) {
            let at = row * a.columns + column;
            let word = weight.at(at / 8);
            let [x0, x1, x2, x3] = x.load(column);
            let [x4, x5, x6, x7] = x.load(column + 4);
            let inputs = [x0, x1, x2, x3, x4, x5, x6, x7];
            let mut dot = 0.0f32;
            let mut total = 0.0f32;
            for i in 0..8u32 {
                let q = ((word >> (4 * i)) & 15).f32();
                dot = fma(q, inputs[i as usize], dot);
                total = total + inputs[i as usize];
            }
            let in_group = at / k.group;
            sum = fma(scales.at(in_group), dot, fma(biases.at(in_group), total, sum));
        }
        let sum = simd_sum(sum);
        if lane() == 0 {
            y.set(row, sum);
        }
    }
}

pub fn matvec(group: u32, rows: usize, columns: usize) -> Case {
    let mut draw = Draw::new(u64::from(group));
    let per_group = group as usize;
    let groups = rows * columns / per_group;
    let weight: Vec<u32> = (0..rows * columns / 8).map(|_| draw.word()).collect();
    let (scales, biases, x) = (draw.halves(groups), draw.halves(groups), draw.floats(columns));
    let y = (0..rows).map(|row| {
        let products = (0..columns).map(|column| {
            let at = row * columns + column;
            let q = f64::from((weight[at / 8] >> (4 * (at % 8))) & 15);
            let (scale, bias) = (scales[at / per_group], biases[at / per_group]);
            (f64::from(scale) * q + f64::from(bias)) * f64::from(x[column])
        });
        products.sum()
    });
    let y = Expected::Near(Elem::F32, y.collect(), 1e-5);
    let buffers = vec![
        bytes_u32(&weight),
        bytes_f16(&scales),
        bytes_f16(&biases),
        bytes_f32(&x),
        vec![0x55; 4 * rows],
    ];
    let args = MatvecArgs { rows: rows as u32, columns: columns as u32 };
    Case::new(&Matvec { group }, args, buffers, vec![(4, y)])
}
