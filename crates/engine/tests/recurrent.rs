//! Sequences with recurrent states batch, resume, make way and recover as others do.

mod common;

use common::{END, TRAINED, assert_empty, ids, options, parts, prompt, request, weights};
use tessera_engine::{BackendChoice, CpuChoice, LoadOptions, Model};
use tessera_graph::{
    Activation, Attend, Builder, Conv, Decay, Delta, Graph, GraphError, HeadOrder, RmsNorm, Scan,
    ValueId,
};

const HIDDEN: usize = 32;

/// A state space behind a convolution, attention with a window, a delta rule.
fn graph() -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let vocab = END as usize + 1;
    let table = b.matrix("embed", vocab.max(260), HIDDEN)?;
    let mut x = b.embed(table, 3.0);
    for layer in [scan, attend, delta] {
        let weight = b.vector(format!("norm{}", x.index()), HIDDEN)?;
        let h = b.rms_norm(x, RmsNorm { weight, eps: 1e-5, offset: 1.0, heads: 1 })?;
        let h = layer(&mut b, h)?;
        let h = linear(&mut b, h, HIDDEN)?;
        x = b.add(x, h)?;
    }
    let x = b.select(x)?;
    let logits = b.linear(x, table, None)?;
    b.sample(logits)
}

fn linear(b: &mut Builder, x: ValueId, out: usize) -> Result<ValueId, GraphError> {
    let cols = b.dims(x).1;
    // a value of its own gives each its number
    let x = b.scale(x, 1.0);
    let label = x.index();
    let weight = b.matrix(format!("linear{label}"), out, cols)?;
    b.linear(x, weight, None)
}

fn scan(b: &mut Builder, x: ValueId) -> Result<ValueId, GraphError> {
    let x = linear(b, x, 24)?;
    let conv = b.conv_state(24, 4)?;
    let weight = b.matrix("conv", 24, 4)?;
    let activation = Some(Activation::Silu);
    let x = b.conv(x, Conv { state: conv, weight, bias: None, activation })?;
    let state = b.scan_state(3, 8, 6)?;
    let (dt, u, v) = (linear(b, x, 3)?, linear(b, x, 6)?, linear(b, x, 6)?);
    let op = Scan {
        state,
        groups: 1,
        decay: Decay::Log(b.vector("scan.decay", 3)?),
        dt_bias: b.vector("scan.dt", 3)?,
        skip: Some(b.vector("scan.skip", 3)?),
        dt_limit: (0.0, f32::INFINITY),
    };
    b.scan(x, dt, u, v, op)
}

fn attend(b: &mut Builder, x: ValueId) -> Result<ValueId, GraphError> {
    let (q, k, v) = (linear(b, x, HIDDEN)?, linear(b, x, 16)?, linear(b, x, 16)?);
    let state = b.kv(1, 16, Some(100))?;
    b.attend(q, k, v, Attend { state, heads: 2, scale: 0.25, softcap: None, sinks: None })
}

fn delta(b: &mut Builder, x: ValueId) -> Result<ValueId, GraphError> {
    let state = b.delta_state(2, 8, 12)?;
    let (q, k, v) = (linear(b, x, 8)?, linear(b, x, 8)?, linear(b, x, 24)?);
    let (a, rate) = (linear(b, x, 2)?, linear(b, x, 2)?);
    let op = Delta {
        state,
        key_heads: 1,
        order: HeadOrder::Grouped,
        decay: Decay::Log(b.vector("delta.decay", 2)?),
        dt_bias: b.vector("delta.dt", 2)?,
        eps: 1e-6,
    };
    b.delta([q, k, v, a, rate], op)
}

fn load(options: LoadOptions) -> Model {
    let graph = graph().unwrap();
    let parts = tessera_engine::Parts {
        weights: weights(&graph),
        graph,
        trained_context: TRAINED,
        ..parts(false)
    };
    Model::from_parts(parts, options).wait().unwrap()
}

/// What one request draws when it is alone, with a whole prompt.
fn alone(prompt: Vec<u32>, max_tokens: usize, seed: u64) -> Vec<u32> {
    alone_on(options().backend, prompt, max_tokens, seed)
}

fn alone_on(backend: BackendChoice, prompt: Vec<u32>, max_tokens: usize, seed: u64) -> Vec<u32> {
    let options = LoadOptions { prefill_chunk: 1024, max_sequences: 1, ..options() };
    let model = load(LoadOptions { backend, ..options });
    ids(&model.generate(request(prompt, max_tokens, seed)).collect().unwrap())
}

/// Prompts are cut where chunks of recurrences are, whoever else runs: the processor's bits stay the same.
#[test]
fn company_changes_nothing_on_the_processor() {
    let cases: Vec<(Vec<u32>, usize, u64)> = (0..7)
        .map(|i| (prompt(3 + 57 * i as usize, i), 5 + 9 * (i as usize % 4), u64::from(i)))
        .collect();
    for (precise, threads) in [(true, 1), (false, 2)] {
        let backend = BackendChoice::Cpu(CpuChoice { threads: Some(threads), precise });
        let chunk = LoadOptions { prefill_chunk: 160, max_sequences: 4, ..options() };
        let model = load(LoadOptions { backend: backend.clone(), ..chunk });
        let generations: Vec<_> =
            cases.iter().map(|(p, n, s)| model.generate(request(p.clone(), *n, *s))).collect();
        for (generation, (p, n, s)) in generations.into_iter().zip(&cases) {
            let drawn = ids(&generation.collect().unwrap());
            assert_eq!(drawn, alone_on(backend.clone(), p.clone(), *n, *s), "{}", p.len());
        }
        assert_empty(&model);
    }
}

#[test]
fn a_batch_of_n_is_n_batches_of_one() {
    let cases: Vec<(Vec<u32>, usize, u64)> = (0..7)
        .map(|i| (prompt(3 + 37 * i as usize, i), 5 + 9 * (i as usize % 4), u64::from(i)))
        .collect();
    for chunk in [1, 7, 48, 300] {
        let model = load(LoadOptions { prefill_chunk: chunk, max_sequences: 4, ..options() });
        let generations: Vec<_> =
            cases.iter().map(|(p, n, s)| model.generate(request(p.clone(), *n, *s))).collect();
        for (generation, (p, n, s)) in generations.into_iter().zip(&cases) {
            let drawn = ids(&generation.collect().unwrap());
            assert_eq!(drawn, alone(p.clone(), *n, *s), "chunk {chunk}, {} tokens", p.len());
        }
        assert_empty(&model);
    }
}

/// A session goes on where its last request ended, or from the checkpoint before the place where the
/// next one differs; what it draws is what it would have drawn anyway.
#[test]
fn sessions_resume_from_checkpoints() {
    let question = prompt(150, 1);
    let answer = alone(question.clone(), 20, 5);
    let asked = question.len();
    let whole = [question.clone(), answer].concat();
    let [more, other] = [2, 3].map(|seed| prompt(30, seed));
    for (next, cached) in [
        // the last token drawn has not been run yet
        ([&whole[..], &more].concat(), whole.len() - 1),
        // an answer that was edited: back to what was asked
        ([&whole[..asked + 3], &other].concat(), asked),
        // a question that was edited: back to a page's edge in it
        ([&question[..asked - 5], &other].concat(), asked / 64 * 64),
        (other.clone(), 0),
    ] {
        let model = load(LoadOptions { prefill_chunk: 512, ..options() });
        let session = model.session();
        let run = |tokens: &[u32]| {
            let request = request(tokens.to_vec(), 20, 5).in_session(&session);
            model.generate(request).collect().unwrap()
        };
        run(&question);
        let completion = run(&next);
        assert_eq!(completion.started.cached_tokens, cached);
        assert_eq!(ids(&completion), alone(next, 20, 5));
        drop(session);
        assert_empty(&model);
    }
}

#[test]
fn sequences_that_do_not_fit_together_take_turns() {
    let one = LoadOptions { context: Some(640), ..options() };
    let expected: Vec<_> = (0..4).map(|i| alone(prompt(50, i), 200, u64::from(i))).collect();
    let memory = load(LoadOptions { memory: Some(1 << 30), ..one.clone() }).status().memory;
    let bytes = memory.weights + memory.arena + tight_bytes();
    let model = load(LoadOptions { memory: Some(bytes), ..one });
    let generations: Vec<_> =
        (0..4).map(|i| model.generate(request(prompt(50, i), 200, u64::from(i)))).collect();
    for (generation, expected) in generations.into_iter().zip(&expected) {
        assert_eq!(ids(&generation.collect().unwrap()), *expected);
    }
    assert_empty(&model);
}

/// What one sequence of the longest context needs, and a little.
fn tight_bytes() -> usize {
    let page = 2 * 64 * 16 * 2;
    let slot = 4 * (24 * 3 + 3 * 8 * 6 + 2 * 8 * 12);
    page * 6 + slot * 7
}
