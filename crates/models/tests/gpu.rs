//! Every family and packing on the simulated GPU: near the reference, and token for token what the CPU backend gives.

mod common;

use std::sync::Arc;

use common::{Case, Golden, Runner, cases, row_error};
use tessera_cpu::{Cpu, CpuOptions};
use tessera_graph::{
    Backend, Batch, Executable, Graph, KvType, Node, Op, Sampled, Sampling, Save, TokenCount,
    oracle, testing::Storage,
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
    /// The part of the rows that this is asked of where errors grow: a row near a tie between experts goes to another, and a
    /// delta rule of random numbers takes the rows after one along.
    part: f64,
    /// How far apart the two best logits may be where two backends disagree.
    margin: f32,
}

/// Arithmetic in single precision.
const EXACT: Limit = Limit { logits: 1e-4, recurrent: 1e-3, part: 1.0, margin: 1e-3 };

/// Prompts by matrix tiles of half precision.
const TILES: Limit = Limit { logits: 1e-2, recurrent: 1e-2, part: 0.5, margin: 2e-2 };

fn gives_the_reference_logits(backend: &dyn Backend, limit: Limit) {
    let runner = Runner { backend, kv: KvType::F32 };
    let mut failed = Vec::new();
    for case in cases() {
        let golden = Golden::of(&case);
        for stored in Case::stored(&case) {
            let model = stored.open(None).unwrap();
            let found = runner.golden(&stored, &golden);
            let grows = |node: &Node| matches!(node.op, Op::Route(_) | Op::Delta(_));
            let grows = model.graph.nodes.iter().any(grows);
            let part = if grows { limit.part } else { 1.0 };
            let error = row_error(&found, &golden.logits, model.graph.vocab(), part);
            println!("{}: {error:.1e}", stored.name);
            let most = if model.graph.is_recurrent() { limit.recurrent } else { limit.logits };
            if error.is_nan() || error > most {
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

/// Settings that make a step draw in every way there is.
fn settings() -> Vec<Sampling> {
    let random = Sampling { temperature: 0.9, seed: 5, ..Default::default() };
    let penalties = Sampling {
        repetition_penalty: 1.3,
        presence_penalty: 0.2,
        frequency_penalty: 0.4,
        bias: vec![(3, 1.5), (7, -2.0)],
        ..Default::default()
    };
    vec![
        Sampling::default(),
        penalties.clone(),
        random.clone(),
        Sampling { top_k: 5, ..random.clone() },
        Sampling { top_p: 0.7, min_p: 0.05, ..random.clone() },
        Sampling { temperature: 1.3, top_k: 9, top_p: 0.9, ..penalties },
        Sampling { logprobs: true, ..Default::default() },
        Sampling { logprobs: true, top_logprobs: 4, top_k: 3, ..random },
    ]
}

/// One list of commands and one wait a step, four bytes back for each drawn row, nothing compiled after loading: for one case
/// of each family, whatever is asked of the drawing. And what is drawn is what the oracle draws from the same logits.
#[test]
fn a_step_is_one_command_buffer() {
    let mut families = std::collections::HashSet::new();
    for case in cases() {
        if !families.insert(case.split('/').next().unwrap().to_owned()) {
            continue;
        }
        // everything is checked where it covers the most: pages, experts, both recurrences
        let whole = ["gemma2", "gpt_oss", "nemotron_h", "qwen3_5_moe"];
        let checks = match whole.iter().any(|family| case.starts_with(&format!("{family}/"))) {
            true => Checks::All,
            false => Checks::Access,
        };
        let backend = tessera_gpu::sim(checks);
        let stored = Case::stored(&case).remove(0);
        let model = stored.open(None).unwrap();
        let limits = tessera_graph::Limits { kv: KvType::F16, ..common::LIMITS };
        let unwatched = &mut tessera_graph::unwatched;
        let mut exe = backend.model(&model.graph, &model.weights, &limits, unwatched).unwrap();
        let storage = Storage::of(&model.graph);
        storage.grow(&mut exe, 2, 2);
        let prompt = &Golden::of(&case).tokens[0];
        let vocab = model.graph.vocab();
        let (mut batch, mut sampled, mut logits) =
            (Batch::default(), Vec::<Sampled>::new(), vec![0.0; vocab]);
        for (step, sampling) in settings().into_iter().enumerate() {
            batch.clear();
            let slot = |step: usize| (step % 2) as u32;
            let from = if step == 0 { tessera_graph::NO_SLOT } else { slot(step - 1) };
            let tokens = if step == 0 { &prompt[..] } else { &prompt[..1] };
            let position = if step == 0 { 0 } else { prompt.len() + step - 1 };
            let saves = [Save { after: tokens.len() as u32, slot: slot(step) }];
            storage.push(&mut batch, tokens, position, (from, &saves), |page| page as u32);
            batch.outputs.drain(..tokens.len() - 1);
            batch.history.extend([1, 3, 4].map(|token| TokenCount { token, generated: token % 3 }));
            batch.outputs[0].history = (0, 3);
            batch.outputs[0].sampling = Some(Arc::new(sampling.clone()));
            let before = exe.counters();
            exe.step(&batch, &mut sampled).unwrap_or_else(|error| panic!("{case}: {error}"));
            let after = exe.counters();
            let extra = u64::from(sampling.logprobs || sampling.top_logprobs > 0) * 4
                + u64::from(sampling.top_logprobs) * 8;
            assert_eq!(after.commits - before.commits, 1, "{case}");
            assert_eq!(after.waits - before.waits, 1, "{case}");
            assert_eq!(after.downloaded - before.downloaded, 4 + extra, "{case}, {sampling:?}");
            assert_eq!(after.compiled, before.compiled, "{case}");
            exe.read_logits(0, &mut logits);
            let history = if sampling.wants_history() { &batch.history[..] } else { &[] };
            let wanted = oracle::sample(&logits, &sampling, history, batch.outputs[0].position);
            let found = &sampled[0];
            assert_eq!(found.token, wanted.token, "{case}, {sampling:?}");
            assert!((found.logprob - wanted.logprob).abs() < 1e-5, "{case}, {sampling:?}");
            let ids = |sampled: &Sampled| sampled.top.iter().map(|top| top.0).collect::<Vec<_>>();
            assert_eq!(ids(found), ids(&wanted), "{case}, {sampling:?}");
        }
    }
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
