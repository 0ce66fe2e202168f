//! Every packing on every instruction set, against the oracle; and the promise that a row's logits do not
//! depend on company.

mod common;

use common::*;
use tessera_cpu::Level;
use tessera_formats::GgmlType;
use tessera_graph::{KvType, testing::run_logits};
use tessera_quant::{Float, Packing};

/// Widths that every packing allows: whole super-blocks of 256, and more than one chunk.
fn wide() -> Shape {
    Shape {
        hidden: 256,
        ffn: 768,
        heads: 4,
        head_dim: 64,
        vocab: 70,
        layers: 1,
        ..Shape::default()
    }
}

#[test]
fn precise_matches_the_oracle_in_every_packing_on_every_level() {
    let tokens = Noise(5).tokens(11, 70);
    for packing in packings() {
        let model = model(&wide(), packing, 1);
        let want = oracle(&model, &tokens);
        for level in Level::available() {
            let got = logits(&cpu(level, 2, true), &model, &[&tokens], &[]).remove(0);
            let error = relative(&got, &want);
            assert!(error < 2e-5, "{packing:?} on {level}: {error}");
        }
    }
}

#[test]
fn int8_activations_stay_close_to_the_oracle() {
    let tokens = Noise(5).tokens(11, 70);
    for packing in packings() {
        let model = model(&wide(), packing, 1);
        let want = oracle(&model, &tokens);
        for level in Level::available() {
            let got = logits(&cpu(level, 2, false), &model, &[&tokens], &[]).remove(0);
            let error = relative(&got, &want);
            let limit =
                if matches!(packing, Packing::Dense(_) | Packing::Mxfp8) { 2e-5 } else { 0.03 };
            assert!(error < limit, "{packing:?} on {level}: {error}");
        }
    }
}

#[test]
fn odd_shapes_match_the_oracle() {
    let tokens = Noise(9).tokens(70, 37);
    let base = Shape { vocab: 37, ..Shape::default() };
    let shapes = [
        Shape { hidden: 48, ffn: 80, heads: 3, kv_heads: 1, head_dim: 24, ..base.clone() },
        Shape {
            hidden: 33,
            ffn: 17,
            heads: 5,
            kv_heads: 5,
            head_dim: 6,
            bias: true,
            ..base.clone()
        },
        Shape {
            hidden: 20,
            ffn: 7,
            heads: 12,
            kv_heads: 2,
            head_dim: 80,
            head_norm: true,
            ..base.clone()
        },
        Shape { window: Some(8), softcap: Some(3.0), ..base.clone() },
        Shape { window: Some(65), heads: 2, kv_heads: 1, head_dim: 128, ..base.clone() },
        Shape { sinks: true, ..base.clone() },
        Shape { sinks: true, window: Some(9), softcap: Some(3.0), ..base.clone() },
        Shape { sinks: true, window: Some(65), heads: 6, kv_heads: 2, ..base },
    ];
    for shape in shapes {
        let model = model(&shape, Packing::Dense(Float::F32), 3);
        let want = oracle(&model, &tokens);
        for level in Level::available() {
            let got = logits(&cpu(level, 3, true), &model, &[&tokens], &[]).remove(0);
            let error = relative(&got, &want);
            assert!(error < 3e-5, "{shape:?} on {level}: {error}");
        }
    }
}

#[test]
fn columns_that_do_not_fill_a_chunk_match_the_oracle() {
    // 288 = 256 + 32 columns, 96 of them in the other direction
    let shape = Shape { hidden: 288, ffn: 96, vocab: 33, ..Shape::default() };
    let tokens = Noise(2).tokens(9, 33);
    for packing in [
        Packing::Ggml(GgmlType::Q4_1),
        Packing::Ggml(GgmlType::Q5_0),
        Packing::Nvfp4,
        Packing::Affine { bits: 3, group: 32, scale: Float::BF16 },
    ] {
        let model = model(&shape, packing, 4);
        let want = oracle(&model, &tokens);
        for level in Level::available() {
            let got = logits(&cpu(level, 1, true), &model, &[&tokens], &[]).remove(0);
            let error = relative(&got, &want);
            assert!(error < 2e-5, "{packing:?} on {level}: {error}");
        }
    }
}

/// Bit for bit: cuts, batches and thread counts, over more than one attention split.
#[test]
fn results_do_not_depend_on_company() {
    let shape = Shape { window: Some(300), heads: 6, kv_heads: 2, ..Shape::default() };
    let mut noise = Noise(11);
    let sequences: Vec<Vec<u32>> = [600, 7, 333, 64].map(|n| noise.tokens(n, shape.vocab)).to_vec();
    let all: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
    // sinks beside splits that are divided, and that are not
    let shapes = [shape.clone(), Shape { sinks: true, softcap: Some(20.0), ..shape }];
    for (shape, packing, precise) in [
        (&shapes[0], Packing::Ggml(GgmlType::Q4_1), false),
        (&shapes[1], Packing::Ggml(GgmlType::Q4_1), false),
        (&shapes[0], Packing::Affine { bits: 6, group: 32, scale: Float::F16 }, false),
        (&shapes[0], Packing::Affine { bits: 4, group: 32, scale: Float::F16 }, true),
        (&shapes[0], Packing::Dense(Float::BF16), false),
    ] {
        let model = model(shape, packing, 8);
        for level in Level::available() {
            let run = |threads: usize, sequences: &[&[u32]], cuts: &[usize]| {
                let mut exe = compile(&cpu(level, threads, precise), &model, KvType::F16);
                run_logits(&mut *exe, &model.0, sequences, cuts)
            };
            let alone: Vec<Vec<f32>> = all.iter().map(|s| run(1, &[s], &[]).remove(0)).collect();
            let same = |what: &str, got: Vec<Vec<f32>>| {
                for (i, (got, want)) in got.iter().zip(&alone).enumerate() {
                    assert!(
                        bits(got) == bits(want),
                        "{packing:?} on {level}: sequence {i}, {what}"
                    );
                }
            };
            same("in chunks", run(2, &all[..1], &[1, 2, 3, 250, 5, 64, 129]));
            same("token by token", run(2, &all[..1], &[1]));
            same("in a batch, in chunks", run(3, &all, &[100, 1, 7, 32]));
            same("in a batch, token by token", run(2, &all, &[1]));
        }
    }
}

/// Over several splits, stored and joined by another instruction or at once.
#[test]
fn sinks_match_the_oracle_at_length() {
    let shape = Shape { sinks: true, window: Some(270), vocab: 37, ..Shape::default() };
    let model = model(&shape, Packing::Dense(Float::F32), 3);
    let tokens = Noise(4).tokens(600, 37);
    let want = oracle(&model, &tokens);
    for level in Level::available() {
        for cuts in [&[][..], &[598, 1, 1]] {
            let got = logits(&cpu(level, 2, true), &model, &[&tokens], cuts).remove(0);
            let error = relative(&got, &want);
            assert!(error < 3e-5, "{cuts:?} on {level}: {error}");
        }
    }
}

#[test]
fn half_precision_pages_round_as_the_oracles_do() {
    let shape = Shape::default();
    let model = model(&shape, Packing::Dense(Float::F32), 6);
    let tokens = Noise(1).tokens(90, shape.vocab);
    for kv in [KvType::F16, KvType::BF16, KvType::F32] {
        let run = |backend: &dyn tessera_graph::Backend| {
            run_logits(&mut *compile(backend, &model, kv), &model.0, &[&tokens], &[]).remove(0)
        };
        let want = run(&tessera_graph::oracle::Oracle);
        for level in Level::available() {
            let error = relative(&run(&cpu(level, 2, true)), &want);
            // a rounding that falls the other way on a value moves the result by a part in a thousand
            let limit = match kv {
                KvType::F32 => 2e-5,
                KvType::F16 => 3e-3,
                // queries and weights are rounded too
                KvType::BF16 => 1e-2,
            };
            assert!(error < limit, "{kv:?} on {level}: {error}");
        }
    }
}
