//! Products of decoding, for every packing, against plain sums.

mod common;

use common::{close, floats, random, read, result, run};
use tessera_kernels::{
    codes::Matrix,
    matvec::{Matvec, MatvecArgs},
};
use tessera_quant::{Packing, Weight, encode};

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

fn check(
    packing: Packing,
    rows: usize,
    cols: usize,
    vectors: usize,
    kernel: impl Fn(Matvec) -> Matvec,
) {
    let weight = encode(packing, rows, cols, &random(7, rows * cols)).expect("encodes");
    let matrix = Matrix::of(&weight);
    let packed = matrix.pack(&weight).expect("finite");
    let sizes: Vec<usize> = packed.planes.iter().map(Vec::len).collect();
    assert_eq!(sizes, matrix.plane_bytes(rows, cols), "{packing:?}");
    let kernel = kernel(Matvec {
        matrix,
        rows: 2,
        simdgroups: 2,
        batch: 1,
        ragged: cols % 32 != 0,
        bias: false,
        residual: false,
    });
    let (x, bias) = (random(3, vectors * cols), random(4, rows));
    let residual = random(5, vectors * rows);
    let mut wanted = product(&weight, &x);
    for (i, y) in wanted.iter_mut().enumerate() {
        *y += if kernel.bias { bias[i % rows] } else { 0.0 };
        *y += if kernel.residual { residual[i] } else { 0.0 };
    }
    let planes: Vec<_> = packed.planes.iter().map(|p| tessera_tile::sim::Memory::of(p)).collect();
    let (x, bias, residual) = (floats(&x), floats(&bias), floats(&residual));
    let y = result(vectors * rows);
    let mut buffers = vec![&x];
    buffers.extend(&planes);
    buffers.extend(kernel.bias.then_some(&bias));
    buffers.extend(kernel.residual.then_some(&residual));
    buffers.push(&y);
    let args = MatvecArgs { rows: rows as u32, cols: cols as u32, vectors: vectors as u32 };
    run(&kernel, &args, &buffers);
    close(&format!("{packing:?} {kernel:?}"), &read(&y), &wanted, 2e-6);
}

#[test]
fn every_packing() {
    for packing in Packing::all() {
        let block = packing.block().max(32);
        for cols in [block, block * 5] {
            check(packing, 7, cols, 1, |kernel| kernel);
        }
    }
}

#[test]
fn remainders_and_epilogues() {
    let packing = Packing::Affine { bits: 4, group: 64, scale: tessera_quant::Float::F16 };
    for rows in [1, 2, 5, 8, 9] {
        check(packing, rows, 1088, 3, |k| Matvec { batch: 2, bias: true, residual: true, ..k });
    }
    let dense = Packing::Dense(tessera_quant::Float::BF16);
    for cols in [1, 31, 33, 70] {
        check(dense, 5, cols, 5, |k| Matvec { rows: 4, batch: 4, ..k });
    }
    check(Packing::Nvfp4, 3, 48, 2, |k| Matvec { rows: 1, residual: true, ..k });
}
