//! Products of decoding, for every packing, against plain sums.

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
    matvec::{Matvec, MatvecArgs},
    unit::Unit,
};
use tessera_quant::{Float, Packing, encode};
use tessera_tile::sim::Memory;

/// What is asked of a product.
#[derive(Clone)]
struct Asked {
    packing: Packing,
    /// Rows of each part.
    parts: Vec<usize>,
    cols: usize,
    vectors: usize,
    kernel: Matvec,
}

impl Asked {
    fn new(packing: Packing, rows: usize, cols: usize) -> Self {
        let kernel = Matvec {
            matrix: Matrix { form: packing.form() },
            rows: 2,
            simdgroups: 2,
            batch: 1,
            split: 1,
            blocks: 32,
            turns: 1,
            ragged: !cols.is_multiple_of(32),
            norm: false,
            bias: false,
            end: End::Parts(1),
        };
        Self { packing, parts: vec![rows], cols, vectors: 1, kernel }
    }

    /// Runs it and compares.
    fn check(&self) {
        let Self { packing, parts, cols, vectors, kernel } = self;
        let turns = cols.div_ceil(32).div_ceil(kernel.blocks as usize) as u32;
        let kernel = &Matvec { turns, ..*kernel };
        let (cols, vectors, rows) = (*cols, *vectors, parts.iter().sum::<usize>());
        let weight = encode(*packing, rows, cols, &random(7, rows * cols)).expect("encodes");
        let packed = kernel.matrix.pack(&weight).expect("finite");
        let sizes: Vec<usize> = packed.planes.iter().map(Vec::len).collect();
        assert_eq!(sizes, kernel.matrix.plane_bytes(rows, cols), "{packing:?}");
        let (x, norm, bias) = (random(3, vectors * cols), random(6, cols), random(4, rows));
        let residual = random(5, vectors * rows);
        let (eps, offset, alpha, limit) = (1e-3, 0.5, 1.7, 0.4);
        let mut input = x.clone();
        if kernel.norm {
            for x in input.chunks_exact_mut(cols) {
                let mean = x.iter().map(|x| f64::from(x * x)).sum::<f64>() / cols as f64;
                let scale = 1.0 / (mean + f64::from(eps)).sqrt();
                for (x, w) in x.iter_mut().zip(&norm) {
                    *x = (f64::from(*x * (w + offset)) * scale) as f32;
                }
            }
        }
        let mut wanted = product(&weight, &input);
        for (i, y) in wanted.iter_mut().enumerate() {
            *y += if kernel.bias { bias[i % rows] } else { 0.0 };
            *y += if kernel.end == End::Residual { residual[i] } else { 0.0 };
        }
        if let End::Unit(unit) = kernel.end {
            let half = rows / 2;
            let of = |row: &[f32]| -> Vec<f32> {
                (0..half).map(|i| plain_unit(unit, row[i], row[i + half], alpha, limit)).collect()
            };
            wanted = wanted.chunks_exact(rows).flat_map(of).collect();
        }
        let planes: Vec<_> = packed.planes.iter().map(|plane| Memory::of(plane)).collect();
        let inputs = [floats(&x), floats(&norm), floats(&bias), floats(&residual)];
        let per_vector = wanted.len() / vectors;
        let widths: Vec<usize> = if parts.len() == 1 { vec![per_vector] } else { parts.clone() };
        let results: Vec<_> = widths.iter().map(|width| result(vectors * width)).collect();
        let mut buffers = vec![&inputs[0]];
        buffers.extend(kernel.norm.then_some(&inputs[1]));
        buffers.extend(&planes);
        buffers.extend(kernel.bias.then_some(&inputs[2]));
        buffers.extend((kernel.end == End::Residual).then_some(&inputs[3]));
        buffers.extend(&results);
        let args = MatvecArgs {
            rows: rows as u32,
            cols: cols as u32,
            vectors: vectors as u32,
            first: parts[0] as u32,
            second: parts.get(1).map_or(0, |&rows| rows as u32),
            eps,
            offset,
            alpha,
            limit,
        };
        run(kernel, &args, &buffers);
        let mut first = 0;
        for (width, result) in widths.iter().zip(&results) {
            let part = |row: &[f32]| row[first..first + width].to_vec();
            let wanted: Vec<f32> = wanted.chunks_exact(per_vector).flat_map(part).collect();
            close(&format!("{packing:?} {kernel:?}"), &read(result), &wanted, 5e-6);
            first += width;
        }
    }
}

#[test]
fn every_packing() {
    for packing in Packing::all() {
        let block = packing.block().max(32);
        for cols in [block, block * 5] {
            Asked::new(packing, 7, cols).check();
        }
    }
}

const FOUR_BITS: Packing = Packing::Affine { bits: 4, group: 64, scale: Float::F16 };

#[test]
fn remainders_and_epilogues() {
    for rows in [1, 2, 5, 8, 9] {
        let mut asked = Asked::new(FOUR_BITS, rows, 1088);
        asked.vectors = 3;
        asked.kernel =
            Matvec { batch: 2, blocks: 64, bias: true, end: End::Residual, ..asked.kernel };
        asked.check();
    }
    for cols in [1, 31, 33, 70] {
        let mut asked = Asked::new(Packing::Dense(Float::BF16), 5, cols);
        asked.vectors = 5;
        asked.kernel = Matvec { rows: 4, batch: 4, norm: true, ..asked.kernel };
        asked.check();
    }
    let mut asked = Asked::new(FOUR_BITS, 3, 4224);
    asked.kernel = Matvec { blocks: 128, norm: true, ..asked.kernel };
    asked.check();
    for (split, blocks, cols) in [(2, 64, 1000usize), (4, 128, 4800), (2, 128, 128)] {
        let mut asked = Asked::new(FOUR_BITS, 11, cols.next_multiple_of(64));
        asked.vectors = 1;
        asked.kernel = Matvec { simdgroups: 4, split, blocks, norm: true, ..asked.kernel };
        asked.check();
    }
    let mut asked = Asked::new(Packing::Nvfp4, 3, 48);
    asked.vectors = 2;
    asked.kernel = Matvec { rows: 1, end: End::Residual, ..asked.kernel };
    asked.check();
}

#[test]
fn parts_norms_and_units() {
    for (parts, batch) in [(vec![5, 3], 1), (vec![4, 2, 1], 2), (vec![1, 1, 9], 4)] {
        let mut asked = Asked::new(FOUR_BITS, 0, 128);
        (asked.vectors, asked.parts) = (batch, parts);
        let (norm, bias) = (batch != 2, batch == 2);
        let end = End::Parts(asked.parts.len() as u32);
        asked.kernel = Matvec { batch: batch as u32, norm, bias, end, ..asked.kernel };
        asked.check();
    }
    for (unit, rows) in [(Unit::Gated(Activation::Silu), 10), (Unit::Clipped, 2)] {
        let mut asked = Asked::new(FOUR_BITS, rows, 192);
        asked.vectors = 3;
        let end = End::Unit(unit);
        asked.kernel = Matvec { rows: 4, batch: 2, norm: true, bias: true, end, ..asked.kernel };
        asked.check();
    }
}
