//! Symmetric mlx matrices: the bits of their GGUF twins, and only where every group agrees.

mod common;

use common::*;
use half::f16;
use tessera_cpu::Level;
use tessera_formats::{Bytes, GgmlType};
use tessera_graph::{Graph, KvType, Weights};
use tessera_quant::{Codes, Float, Packing, RowScales, Weight};

/// The integers of a GGUF matrix in groups of 32, as mlx stores them: `bias = -zero * scale`, or the
/// file's own.
fn twin(weight: &Weight) -> Weight {
    let Codes::Int { bits, zero } = weight.form().codes else { return weight.clone() };
    let mut row = RowScales::default();
    let mut codes = vec![0; weight.cols];
    let (mut words, mut scales, mut biases) = (Vec::new(), Vec::new(), Vec::new());
    for r in 0..weight.rows {
        weight.codes_row(r, &mut codes);
        match bits {
            4 => words.extend(codes.chunks_exact(2).map(|c| c[0] | c[1] << 4)),
            8 => words.extend(&codes),
            _ => panic!("{bits} bits"),
        }
        weight.read_scales(r, &mut row);
        row.bias.resize(row.scale.len(), 0.0);
        for (scale, bias) in row.scale.iter().zip(&row.bias) {
            let bias = bias - f32::from(zero) * scale;
            assert_eq!(f16::from_f32(bias).to_f32(), bias, "an f16 holds it");
            scales.extend(f16::from_f32(*scale).to_le_bytes());
            biases.extend(f16::from_f32(bias).to_le_bytes());
        }
    }
    Weight {
        packing: Packing::Affine { bits, group: 32, scale: Float::F16 },
        codes: Bytes::from(words),
        scales: Some(Bytes::from(scales)),
        biases: Some(Bytes::from(biases)),
        ..weight.clone()
    }
}

/// A model of GGUF blocks, and the same one in mlx's packing.
fn twins(kind: GgmlType) -> [(Graph, Weights); 2] {
    // more than one chunk, a part of one, and rows that do not fill a tile
    let shape = Shape { hidden: 288, ffn: 96, vocab: 37, ..Shape::default() };
    let (graph, weights) = model(&shape, Packing::Ggml(kind), 21);
    let other = Weights(weights.0.iter().map(twin).collect());
    [(graph.clone(), weights), (graph, other)]
}

fn weight_bytes(level: Level, model: &(Graph, Weights)) -> usize {
    compile(&cpu(level, 1, false), model, KvType::F32).memory().weights
}

#[test]
fn the_same_integers_give_the_same_bits_on_every_level() {
    let tokens = Noise(5).tokens(11, 37);
    for kind in [GgmlType::Q8_0, GgmlType::Q4_0, GgmlType::Q4_1] {
        let [gguf, mlx] = twins(kind);
        for level in Level::available() {
            for precise in [false, true] {
                let run = |model| logits(&cpu(level, 2, precise), model, &[&tokens], &[]).remove(0);
                let (one, two) = (run(&gguf), run(&mlx));
                assert!(bits(&one) == bits(&two), "{kind:?} on {level}, precise: {precise}");
            }
            assert_eq!(weight_bytes(level, &gguf), weight_bytes(level, &mlx), "{kind:?}");
        }
    }
}

/// The last bias of the last matrix, an f16, changed by `change`.
fn change_last_bias(model: &mut (Graph, Weights), change: impl Fn(f32) -> f32) {
    let matrix = model.1.0.iter_mut().rfind(|w| w.biases.is_some()).unwrap();
    let mut biases = matrix.biases.as_ref().unwrap().to_vec();
    let [.., low, high] = &mut biases[..] else { panic!("no bias") };
    let bias = change(f16::from_le_bytes([*low, *high]).to_f32());
    [*low, *high] = f16::from_f32(bias).to_le_bytes();
    matrix.biases = Some(Bytes::from(biases));
}

#[test]
fn a_group_that_differs_keeps_its_bias() {
    let tokens = Noise(5).tokens(11, 37);
    let [gguf, mut mlx] = twins(GgmlType::Q8_0);
    change_last_bias(&mut mlx, |bias| bias + 0.5);
    let want = oracle(&mlx, &tokens);
    for level in Level::available() {
        // That one matrix has three tiles of 16 rows, and f16 biases for their first eight groups; those of
        // the ninth go where padding was.
        assert_eq!(weight_bytes(level, &mlx), weight_bytes(level, &gguf) + 3 * 8 * 16 * 2);
        let got = logits(&cpu(level, 2, true), &mlx, &[&tokens], &[]).remove(0);
        assert!(relative(&got, &want) < 2e-5, "on {level}");
    }
}

#[test]
fn the_smallest_difference_counts() {
    let [gguf, mut mlx] = twins(GgmlType::Q8_0);
    let level = Level::available()[0];
    change_last_bias(&mut mlx, |bias| {
        let bits = f16::from_f32(bias).to_bits();
        f16::from_bits(bits ^ 1).to_f32()
    });
    assert!(weight_bytes(level, &mlx) > weight_bytes(level, &gguf));
}

#[test]
fn a_bias_that_is_not_finite_is_refused() {
    let [_, mut mlx] = twins(GgmlType::Q8_0);
    change_last_bias(&mut mlx, |_| f32::NAN);
    let result = tessera_graph::Backend::compile(
        &cpu(Level::available()[0], 1, false),
        &mlx.0,
        mlx.1,
        &limits(KvType::F32),
        &mut tessera_graph::unwatched,
    );
    let error = result.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(error.contains("head: row 36"), "{error}");
}
