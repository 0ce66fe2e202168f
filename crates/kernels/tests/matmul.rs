//! Products of prompts, for every packing, against plain sums.

mod common;

use common::{close, floats, product::product, random, read, result, run};
use tessera_kernels::{
    codes::Matrix,
    matmul::{Matmul, MatmulArgs},
};
use tessera_quant::{Float, Packing, encode};
use tessera_tile::{Record, Spec, ir::Elem, sim::Memory};

fn small(packing: Packing, cols: usize) -> Matmul {
    Matmul {
        matrix: Matrix { form: packing.form() },
        vectors: 16,
        rows: 32,
        down: 1,
        across: 2,
        steps: 1,
        stage: Elem::F32,
        ragged: !cols.is_multiple_of(32),
        bias: false,
        residual: false,
    }
}

fn check(packing: Packing, vectors: usize, rows: usize, cols: usize, kernel: &Matmul) {
    let weight = encode(packing, rows, cols, &random(7, rows * cols)).expect("encodes");
    let packed = kernel.matrix.pack(&weight).expect("finite");
    let (x, bias) = (random(3, vectors * cols), random(4, rows));
    let residual = random(5, vectors * rows);
    let mut wanted = product(&weight, &x);
    for (i, y) in wanted.iter_mut().enumerate() {
        *y += if kernel.bias { bias[i % rows] } else { 0.0 };
        *y += if kernel.residual { residual[i] } else { 0.0 };
    }
    let planes: Vec<_> = packed.planes.iter().map(|plane| Memory::of(plane)).collect();
    let (x, bias, residual) = (floats(&x), floats(&bias), floats(&residual));
    let y = result(vectors * rows);
    let mut buffers = vec![&x];
    buffers.extend(&planes);
    buffers.extend(kernel.bias.then_some(&bias));
    buffers.extend(kernel.residual.then_some(&residual));
    buffers.push(&y);
    let args = MatmulArgs { rows: rows as u32, cols: cols as u32, vectors: vectors as u32 };
    run(kernel, &args, &buffers);
    let limit = if kernel.stage == Elem::F32 { 3e-6 } else { 2e-3 };
    let what = format!("{packing:?} {vectors} x {rows} x {cols} {kernel:?}");
    close(&what, &read(&y), &wanted, limit);
}

#[test]
fn every_packing() {
    for packing in Packing::all() {
        let block = packing.block().max(32);
        for (cols, stage) in [(block, Elem::F16), (block * 3, Elem::F32)] {
            check(packing, 3, 17, cols, &Matmul { stage, ..small(packing, cols) });
        }
    }
}

const FOUR_BITS: Packing = Packing::Affine { bits: 4, group: 64, scale: Float::F16 };
const DENSE: Packing = Packing::Dense(Float::BF16);

#[test]
fn every_remainder() {
    let kernel = small(FOUR_BITS, 64);
    for vectors in [1, 15, 16, 17, 33] {
        for rows in [1, 4, 31, 32, 33, 36, 65] {
            let kernel = Matmul { bias: true, residual: true, ..kernel };
            check(FOUR_BITS, vectors, rows, 64, &kernel);
        }
    }
    for cols in [1, 2, 31, 32, 33, 63, 64, 65, 97] {
        for steps in [1, 2, 3] {
            let kernel = Matmul { steps, vectors: 16, ..small(DENSE, cols) };
            check(DENSE, 5, 9, cols, &kernel);
            check(DENSE, 5, 9, cols, &Matmul { ragged: true, ..kernel });
        }
    }
}

#[test]
fn epilogues() {
    for (bias, residual) in [(false, true), (true, false), (true, true)] {
        let kernel = Matmul { bias, residual, ..small(FOUR_BITS, 192) };
        for rows in [40, 41] {
            check(FOUR_BITS, 18, rows, 192, &kernel);
        }
    }
}

#[test]
fn geometry() {
    let layouts = [
        (16, 16, 1, 1, 1),
        (32, 32, 2, 2, 2),
        (64, 32, 2, 1, 1),
        (32, 64, 1, 4, 2),
        (64, 64, 2, 2, 2),
        (64, 48, 4, 3, 1),
        (128, 64, 4, 2, 1),
    ];
    for (vectors, rows, down, across, steps) in layouts {
        let stage = Elem::F16;
        let kernel = Matmul { vectors, rows, down, across, steps, stage, ..small(FOUR_BITS, 192) };
        check(FOUR_BITS, vectors as usize + 1, rows as usize + 4, 192, &kernel);
    }
    let exact = Matmul { vectors: 64, rows: 64, down: 2, steps: 1, ..small(FOUR_BITS, 128) };
    check(FOUR_BITS, 70, 70, 128, &exact);
}

/// A vector's result is the same bits whoever else is there.
#[test]
fn company() {
    let kernel = Matmul { stage: Elem::F16, ..small(DENSE, 64) };
    let weight = encode(DENSE, 20, 64, &random(7, 20 * 64)).expect("encodes");
    let plane = Memory::of(&kernel.matrix.pack(&weight).expect("finite").planes[0]);
    let x = random(3, 21 * 64);
    let products = |x: &[f32]| {
        let vectors = x.len() / 64;
        let (x, y) = (floats(x), result(vectors * 20));
        let args = MatmulArgs { rows: 20, cols: 64, vectors: vectors as u32 };
        run(&kernel, &args, &[&x, &plane, &y]);
        read(&y)
    };
    assert_eq!(products(&x)[17 * 20..18 * 20], products(&x[17 * 64..18 * 64]));
}

#[test]
fn what_it_cannot_do_is_told() {
    let kernel = small(FOUR_BITS, 64);
    let args = MatmulArgs { rows: 1, cols: 64, vectors: 1 };
    kernel.check(&args).expect("can be done");
    kernel.record().expect("can be recorded");
    let refused = |kernel: Matmul, args: MatmulArgs| kernel.check(&args).expect_err("refused");
    refused(kernel, MatmulArgs { cols: 33, ..args });
    refused(kernel, MatmulArgs { rows: 0, ..args });
    refused(kernel, MatmulArgs { vectors: 0, ..args });
    refused(Matmul { vectors: 24, ..kernel }, args);
    refused(Matmul { across: 3, ..kernel }, args);
    refused(Matmul { down: 0, ..kernel }, args);
    refused(Matmul { steps: 0, ..kernel }, args);
    refused(Matmul { stage: Elem::BF16, ..kernel }, args);
    refused(Matmul { vectors: 128, rows: 128, ..kernel }, args);
    refused(Matmul { vectors: 128, rows: 80, down: 8, across: 5, ..kernel }, args);
}
