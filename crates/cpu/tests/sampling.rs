//! Sampling against the oracle's obvious version, which sorts, on the same logits.

mod common;

use std::sync::Arc;

use common::{Noise, cpu, limits};
use tessera_cpu::Level;
use tessera_graph::{
    Backend, Batch, Builder, Executable, Graph, KvType, NO_SLOT, Output, Run, Sampled, Sampling,
    TokenCount, Weights, oracle::Oracle,
};
use tessera_quant::{Float, Packing, encode::encode};

const VOCAB: usize = 1003;
const ROWS: usize = 6;

/// A model whose logits are rows of a table, so that both backends draw from the same bits.
fn table() -> (Graph, Weights) {
    let mut b = Builder::new();
    let table = b.matrix("logits", ROWS, VOCAB).unwrap();
    let x = b.embed(table, 1.0);
    let x = b.select(x).unwrap();
    let graph = b.sample(x).unwrap();
    let mut noise = Noise(77);
    let values = (0..ROWS * VOCAB).map(|i| match i / VOCAB {
        // a peak, a plain spread, many equals, all equal
        0 => noise.next() * 12.0,
        1 => noise.next() * 2.0,
        2 => (noise.next() * 4.0).round(),
        3 => 0.25,
        // large numbers, and a sharp winner
        4 => noise.next() * 3.0 + 4e4,
        _ if i % VOCAB == 500 => 200.0,
        _ => noise.next(),
    });
    let values: Vec<f32> = values.collect();
    let weight = encode(Packing::Dense(Float::F32), ROWS, VOCAB, &values).unwrap();
    (graph, Weights(vec![weight]))
}

fn draw(
    exe: &mut dyn Executable,
    sampling: &Sampling,
    history: &[TokenCount],
    position: u32,
) -> Vec<Sampled> {
    let mut batch = Batch::default();
    let sampling = Arc::new(sampling.clone());
    batch.history.extend_from_slice(history);
    for row in 0..ROWS as u32 {
        batch.tokens.push(row);
        batch.runs.push(Run { row, len: 1, position: 0, tables: 0, slot: NO_SLOT, saves: (0, 0) });
        let history = (0, history.len() as u32);
        batch.outputs.push(Output { row, sampling: Some(sampling.clone()), position, history });
    }
    let mut sampled = Vec::new();
    exe.step(&batch, &mut sampled).unwrap();
    sampled
}

fn settings() -> Vec<Sampling> {
    let mut all = vec![Sampling::default()];
    for temperature in [0.0, 0.3, 1.0, 4.0] {
        for (top_k, top_p, min_p) in [
            (0, 1.0, 0.0),
            (1, 1.0, 0.0),
            (40, 1.0, 0.0),
            (2000, 1.0, 0.0),
            (0, 0.9, 0.0),
            (0, 0.0, 0.0),
            (0, 0.999, 0.0),
            (0, 1.0, 0.1),
            (50, 0.8, 0.05),
            (7, 0.5, 1.0),
        ] {
            all.push(Sampling { temperature, top_k, top_p, min_p, seed: 9, ..Sampling::default() });
        }
    }
    let penalised = Sampling {
        temperature: 0.8,
        top_k: 30,
        repetition_penalty: 1.3,
        presence_penalty: 0.4,
        frequency_penalty: 0.2,
        bias: vec![(3, 5.0), (999, -2.0)],
        logprobs: true,
        top_logprobs: 5,
        ..Sampling::default()
    };
    all.push(penalised);
    all
}

#[test]
fn draws_are_the_oracles() {
    let (graph, weights) = table();
    let compile = |backend: &dyn Backend| {
        backend
            .compile(&graph, weights.clone(), &limits(KvType::F32), &mut tessera_graph::unwatched)
            .unwrap()
    };
    let mut oracle = compile(&Oracle);
    let history: Vec<TokenCount> =
        (0..40).map(|i| TokenCount { token: i * 25, generated: i % 3 }).collect();
    for level in Level::available() {
        let mut exe = compile(&cpu(level, 2, false));
        for sampling in settings() {
            let history = if sampling.wants_history() { &history[..] } else { &[] };
            for position in 0..20 {
                let want = draw(&mut *oracle, &sampling, history, position);
                let got = draw(&mut *exe, &sampling, history, position);
                for (row, (got, want)) in got.iter().zip(&want).enumerate() {
                    assert_eq!(
                        got.token, want.token,
                        "row {row} at {position}, {level}: {sampling:?}"
                    );
                    assert!(
                        (got.logprob - want.logprob).abs() < 1e-4 * want.logprob.abs().max(1.0)
                    );
                    let ids = |s: &Sampled| s.top.iter().map(|t| t.0).collect::<Vec<_>>();
                    assert_eq!(ids(got), ids(want), "row {row}: {sampling:?}");
                }
            }
        }
    }
}

#[test]
fn logits_that_are_not_finite_fail_alone() {
    let mut b = Builder::new();
    let table = b.matrix("logits", 3, 40).unwrap();
    let x = b.embed(table, 1e30);
    let x = b.select(x).unwrap();
    let graph = b.sample(x).unwrap();
    // the second row overflows when scaled
    let values: Vec<f32> =
        (0..120).map(|i| if i / 40 == 1 { 1e30 } else { i as f32 * 1e-30 }).collect();
    let weights = Weights(vec![encode(Packing::Dense(Float::F32), 3, 40, &values).unwrap()]);
    for level in Level::available() {
        let backend = cpu(level, 2, false);
        let mut exe = backend
            .compile(&graph, weights.clone(), &limits(KvType::F32), &mut tessera_graph::unwatched)
            .unwrap();
        let mut batch = Batch::default();
        for row in 0..3 {
            batch.tokens.push(row);
            batch.runs.push(Run {
                row,
                len: 1,
                position: 0,
                tables: 0,
                slot: NO_SLOT,
                saves: (0, 0),
            });
            let sampling = Some(Arc::new(Sampling { temperature: 1.0, ..Sampling::default() }));
            batch.outputs.push(Output { row, sampling, position: 1, history: (0, 0) });
        }
        let mut sampled = Vec::new();
        exe.step(&batch, &mut sampled).unwrap();
        assert_eq!(
            sampled.iter().map(|s| s.failed).collect::<Vec<_>>(),
            [false, true, false],
            "{level}"
        );
    }
}
