//! Products of prompts, for every packing, against plain sums.

mod common;

use common::{
    close, floats,
    product::{plain_unit, product},
    random, read, result, run,
};
use tessera_graph::Activation;
use tessera_kernels::{
    codes::Matrix,
    end::End,
    matmul::{Matmul, MatmulArgs},
    unit::Unit,
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
        depth: 1,
        stage: Elem::F32,
        ragged: !cols.is_multiple_of(32),
        bias: false,
        end: End::Parts(1),
    }
}

fn check(packing: Packing, vectors: usize, rows: usize, cols: usize, kernel: &Matmul) {
    check_parts(packing, vectors, &[rows], cols, kernel);
}

/// `parts` are the rows of each part of the matrix. Gives the results, which are right.
fn check_parts(
    packing: Packing,
    vectors: usize,
    parts: &[usize],
    cols: usize,
    kernel: &Matmul,
) -> Vec<Vec<f32>> {
    let rows = parts.iter().sum();
    let weight = encode(packing, rows, cols, &random(7, rows * cols)).expect("encodes");
    let packed = kernel.matrix.pack(&weight).expect("finite");
    let (x, bias) = (random(3, vectors * cols), random(4, rows));
    let residual = random(5, vectors * rows);
    let args = MatmulArgs {
        rows: rows as u32,
        cols: cols as u32,
        vectors: vectors as u32,
        first: parts[0] as u32,
        second: parts.get(1).map_or(0, |&rows| rows as u32),
        alpha: 1.7,
        limit: 0.4,
    };
    let mut wanted = product(&weight, &x);
    for (i, y) in wanted.iter_mut().enumerate() {
        *y += if kernel.bias { bias[i % rows] } else { 0.0 };
        *y += if kernel.end == End::Residual { residual[i] } else { 0.0 };
    }
    let mut widths = parts.to_vec();
    if let End::Unit(unit) = kernel.end {
        widths = vec![rows / 2];
        let one =
            |row: &[f32], i| plain_unit(unit, row[i], row[i + rows / 2], args.alpha, args.limit);
        let of = |row: &[f32]| (0..rows / 2).map(|i| one(row, i)).collect::<Vec<_>>();
        wanted = wanted.chunks_exact(rows).flat_map(of).collect();
    }
    let planes: Vec<_> = packed.planes.iter().map(|plane| Memory::of(plane)).collect();
    let (x, bias, residual) = (floats(&x), floats(&bias), floats(&residual));
    let results: Vec<_> = widths.iter().map(|width| result(vectors * width)).collect();
    let mut buffers = vec![&x];
    buffers.extend(&planes);
    buffers.extend(kernel.bias.then_some(&bias));
    buffers.extend((kernel.end == End::Residual).then_some(&residual));
    buffers.extend(&results);
    run(kernel, &args, &buffers);
    let limit = match (kernel.stage, kernel.end) {
        (Elem::F32, _) => 3e-6,
        // clipped, it is small beside the products it is made of
        (_, End::Unit(_)) => 8e-3,
        _ => 2e-3,
    };
    let what = format!("{packing:?} {vectors} x {parts:?} x {cols} {kernel:?}");
    let mut first = 0;
    let results: Vec<_> = results.iter().map(read).collect();
    for (width, result) in widths.iter().zip(&results) {
        let part = |row: &[f32]| row[first..first + width].to_vec();
        let wanted: Vec<f32> = wanted.chunks_exact(widths.iter().sum()).flat_map(part).collect();
        close(&what, result, &wanted, limit);
        first += width;
    }
    results
}

/// Asserts that weights copied ahead give the same bits.
fn check_depths(packing: Packing, vectors: usize, rows: usize, cols: usize, kernel: &Matmul) {
    let at =
        |depth: u32| check_parts(packing, vectors, &[rows], cols, &Matmul { depth, ..*kernel });
    let wanted = at(1);
    for depth in [2, 3] {
        assert!(at(depth) == wanted, "{packing:?} {rows} x {cols} {kernel:?}, depth {depth}");
    }
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
            let kernel = Matmul { bias: true, end: End::Residual, ..kernel };
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
fn biases_and_residuals() {
    for (bias, end) in [(false, End::Residual), (true, End::Parts(1)), (true, End::Residual)] {
        let kernel = Matmul { bias, end, ..small(FOUR_BITS, 192) };
        for rows in [40, 41] {
            check(FOUR_BITS, 18, rows, 192, &kernel);
        }
    }
}

/// Parts that end within a vector of results, at its edge, and in odd places.
#[test]
fn parts() {
    let all: [&[usize]; 7] =
        [&[32, 8], &[12, 20], &[5, 3], &[3, 34], &[16, 8, 8], &[1, 2, 3], &[7, 1, 40]];
    for parts in all {
        let kernel = small(FOUR_BITS, 64);
        let kernel = Matmul { bias: true, end: End::Parts(parts.len() as u32), ..kernel };
        check_parts(FOUR_BITS, 18, parts, 64, &kernel);
    }
}

#[test]
fn units() {
    for unit in [Unit::Gated(Activation::Silu), Unit::Clipped] {
        for (rows, bias) in [(2, false), (64, true), (66, true), (80, false)] {
            let kernel = Matmul { bias, end: End::Unit(unit), ..small(FOUR_BITS, 128) };
            check(FOUR_BITS, 17, rows, 128, &kernel);
            let kernel = Matmul { rows: 64, steps: 2, stage: Elem::F16, ..kernel };
            check(FOUR_BITS, 17, rows, 128, &kernel);
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

#[test]
fn depths() {
    for packing in Packing::all() {
        let block = packing.block().max(32);
        // three slots of 4 bytes a column are too many for two steps
        let most = if packing == Packing::Dense(Float::F32) { 1 } else { 2 };
        for (cols, steps) in [(block, 1), (block * 3, most)] {
            let kernel = Matmul { steps, stage: Elem::F16, ..small(packing, cols) };
            check_depths(packing, 3, 17, cols, &kernel);
        }
    }
    for cols in [1, 31, 32, 33, 64, 97, 160] {
        for steps in [1, 2] {
            check_depths(DENSE, 5, 9, cols, &Matmul { steps, ..small(DENSE, cols) });
        }
    }
    // with threads that have nothing to copy, and more than one turn
    for (vectors, rows, down, across) in [(32, 16, 2, 1), (16, 48, 1, 3), (64, 32, 4, 2)] {
        let kernel = Matmul { vectors, rows, down, across, ..small(FOUR_BITS, 192) };
        check_depths(FOUR_BITS, 21, rows as usize + 5, 192, &kernel);
    }
    let gated = End::Unit(Unit::Gated(Activation::Silu));
    let kernel = Matmul { bias: true, end: gated, ..small(FOUR_BITS, 128) };
    check_depths(FOUR_BITS, 17, 66, 128, &kernel);
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
        let args =
            MatmulArgs { rows: 20, cols: 64, vectors: vectors as u32, ..MatmulArgs::default() };
        run(&kernel, &args, &[&x, &plane, &y]);
        read(&y)
    };
    assert_eq!(products(&x)[17 * 20..18 * 20], products(&x[17 * 64..18 * 64]));
}

#[test]
fn what_it_cannot_do_is_told() {
    let kernel = small(FOUR_BITS, 64);
    let args = MatmulArgs { rows: 1, cols: 64, vectors: 1, ..MatmulArgs::default() };
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
    refused(Matmul { depth: 0, ..kernel }, args);
    refused(Matmul { depth: 4, ..kernel }, args);
    let large = Matmul { vectors: 64, rows: 64, down: 2, ..kernel };
    large.check(&args).expect("can be done");
    refused(Matmul { depth: 3, steps: 2, ..large }, args);
    refused(Matmul { end: End::Parts(4), ..kernel }, args);
    refused(Matmul { end: End::Parts(2), ..kernel }, MatmulArgs { first: 2, ..args });
    refused(Matmul { end: End::Unit(Unit::Clipped), ..kernel }, args);
    refused(Matmul { stage: Elem::BF16, ..kernel }, args);
    refused(Matmul { vectors: 128, rows: 128, ..kernel }, args);
    refused(Matmul { vectors: 128, rows: 80, down: 8, across: 5, ..kernel }, args);
}
