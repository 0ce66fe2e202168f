//! Every family and packing on the simulated GPU: near the reference, and token for token what the CPU backend gives.

mod common;

use std::sync::Arc;

use common::{Case, Golden, Runner, cases, relative_error};
use tessera_cpu::{Cpu, CpuOptions};
use tessera_graph::{
    Backend, Batch, Executable, Graph, KvType, Sampled, Sampling, Save, testing::Storage,
};
use tessera_tile::sim::Checks;

/// Tokens of a continuation.
const TOKENS: usize = 64;

/// What a backend may differ by.
#[derive(Clone, Copy)]
struct Limit {
    /// From the reference's logits, as a part of the largest.
    logits: f32,
    /// The same where layers are recurrent.
    recurrent: f32,
    /// How far apart the two best logits may be where two backends disagree.
    margin: f32,
}

/// Arithmetic in single precision.
const EXACT: Limit = Limit { logits: 1e-4, recurrent: 1e-3, margin: 1e-3 };

/// Prompts by matrix tiles of half precision.
const TILES: Limit = Limit { logits: 1e-2, recurrent: 1e-2, margin: 2e-2 };

fn gives_the_reference_logits(backend: &dyn Backend, limit: Limit) {
    let runner = Runner { backend, kv: KvType::F32 };
    let mut failed = Vec::new();
    for case in cases() {
        let golden = Golden::of(&case);
        for stored in Case::stored(&case) {
            let model = stored.open(None).unwrap();
            let found = runner.golden(&stored, &golden);
            let error = relative_error(&found, &golden.logits);
            println!("{}: {error:.1e}", stored.name);
            let most = if model.graph.is_recurrent() { limit.recurrent } else { limit.logits };
            if !(error <= most) {
                failed.push(format!("{}: {error}", stored.name));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn sim_gives_the_reference_logits() {
    gives_the_reference_logits(&tessera_gpu::sim(Checks::Access), EXACT);
}

/// A greedy continuation, and at each of its tokens how far apart the two best logits were.
fn continuation(exe: &mut dyn Executable, graph: &Graph, prompt: &[u32]) -> Vec<(u32, f32)> {
    let storage = Storage::of(graph);
    storage.grow(exe, 4, 2);
    let (mut batch, mut sampled): (Batch, Vec<Sampled>) = Default::default();
    let mut logits = vec![0.0; graph.vocab()];
    let (mut tokens, mut position, mut continued) = (prompt.to_vec(), 0, Vec::new());
    for step in 0..TOKENS {
        batch.clear();
        let slot = |step: usize| (step % 2) as u32;
        let from = if step == 0 { tessera_graph::NO_SLOT } else { slot(step - 1) };
        let saves = [Save { after: tokens.len() as u32, slot: slot(step) }];
        storage.push(&mut batch, &tokens, position, (from, &saves), |page| page as u32);
        position += tokens.len();
        let last = batch.outputs.split_off(batch.outputs.len() - 1).remove(0);
        batch.outputs.clear();
        batch.outputs.push(last);
        batch.outputs[0].sampling = Some(Arc::new(Sampling::default()));
        exe.step(&batch, &mut sampled).unwrap();
        exe.read_logits(0, &mut logits);
        logits.sort_by(|a, b| b.total_cmp(a));
        continued.push((sampled[0].token, logits[0] - logits[1]));
        tokens = vec![sampled[0].token];
    }
    continued
}

fn continues_as_the_cpu_does(gpu: &dyn Backend, limit: Limit) {
    let options = CpuOptions { threads: Some(1), precise: true, isa: None };
    let cpu = Cpu::new(&options).unwrap();
    let mut failed = Vec::new();
    for case in cases() {
        let prompt = &Golden::of(&case).tokens[0];
        for stored in Case::stored(&case) {
            let model = stored.open(None).unwrap();
            let [expected, found] = [&cpu as &dyn Backend, gpu].map(|backend| {
                let limits = tessera_graph::Limits { kv: KvType::F32, ..common::LIMITS };
                let unwatched = &mut tessera_graph::unwatched;
                let weights = model.weights.clone();
                let mut exe = backend.compile(&model.graph, weights, &limits, unwatched).unwrap();
                continuation(exe.as_mut(), &model.graph, prompt)
            });
            let differs = expected.iter().zip(&found).position(|(a, b)| a.0 != b.0);
            if let Some(at) = differs.filter(|&at| expected[at].1 > limit.margin) {
                failed.push(format!("{}: token {at}, margin {}", stored.name, expected[at].1));
            }
        }
    }
    assert!(failed.is_empty(), "{failed:#?}");
}

#[test]
fn sim_continues_as_the_cpu_does() {
    continues_as_the_cpu_does(&tessera_gpu::sim(Checks::Access), EXACT);
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn cuda_gives_the_reference_logits() {
    gives_the_reference_logits(&tessera_gpu::cuda(Default::default()), TILES);
}

#[test]
#[ignore = "needs an NVIDIA GPU"]
fn cuda_continues_as_the_cpu_does() {
    continues_as_the_cpu_does(&tessera_gpu::cuda(Default::default()), TILES);
}
