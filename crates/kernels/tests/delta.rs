//! Gated delta rules, token by token and in chunks, against one token after the other in f64.

mod common;

use common::{
    close, floats, random, read, result, run,
    steps::{SLOTS, Step, each, of, rows, steps, tables},
    words,
};
use tessera_kernels::{
    chunks::{
        CHUNK, FACTORS, fill,
        gram::{Gram, GramArgs},
        read::{ChunkRead, ChunkReadArgs},
        solve::{DeltaSolve, DeltaSolveArgs},
    },
    delta::{Delta, DeltaArgs},
    tables::NO_SLOT,
};
use tessera_tile::{Spec, sim::Memory};

/// Shape of a delta rule.
#[derive(Debug, Clone, Copy)]
struct Shape {
    heads: usize,
    key_heads: usize,
    key_dim: usize,
    value_dim: usize,
}

impl Shape {
    fn state_len(self) -> usize {
        self.heads * self.key_dim * self.value_dim
    }
}

const EPS: f32 = 1e-6;

fn scaled(seed: u64, len: usize, scale: f32, offset: f32) -> Vec<f32> {
    random(seed, len).iter().map(|x| x * scale + offset).collect()
}

/// What a delta rule of some rows is given: `q`, `k`, `v`, `a`, `b`.
struct Inputs {
    rows: [Vec<f32>; 5],
    decay: Vec<f32>,
    dt_bias: Vec<f32>,
}

fn widths(shape: Shape) -> [usize; 5] {
    let Shape { heads, key_heads, key_dim, value_dim } = shape;
    [key_heads * key_dim, key_heads * key_dim, heads * value_dim, heads, heads]
}

impl Inputs {
    fn new(k: &Delta, shape: Shape, rows: usize) -> Self {
        let [q, keys, v, a, b] = widths(shape).map(|width| width * rows);
        Self {
            rows: [
                random(1, q),
                random(2, keys),
                random(3, v),
                scaled(4, a, 3.0, -2.0),
                scaled(5, b, 3.0, 0.5),
            ],
            decay: match k.log_decay {
                true => scaled(6, shape.heads, 1.5, 0.0),
                false => scaled(6, shape.heads, 1.0, -1.1),
            },
            dt_bias: random(7, shape.heads),
        }
    }

    /// Some of the rows.
    fn rows(&self, shape: Shape, rows: std::ops::Range<usize>) -> Self {
        let widths = widths(shape);
        let of = |i: usize| self.rows[i][rows.start * widths[i]..rows.end * widths[i]].to_vec();
        Self {
            rows: std::array::from_fn(of),
            decay: self.decay.clone(),
            dt_bias: self.dt_bias.clone(),
        }
    }
}

/// The result of a step in f64; `states` become what they are after it.
fn reference(
    k: &Delta,
    shape: Shape,
    step: &Step,
    inputs: &Inputs,
    states: &mut [f32],
) -> Vec<f32> {
    let Shape { heads, key_heads, key_dim, value_dim } = shape;
    let [q, keys, v, a, b] = &inputs.rows;
    let mut y = vec![0.0; v.len()];
    let wide = |x: f32| f64::from(x);
    let unit = |x: &[f32]| -> Vec<f64> {
        let squares: f64 = x.iter().map(|&x| wide(x).powi(2)).sum();
        x.iter().map(|&x| wide(x) / (squares + wide(EPS)).sqrt()).collect()
    };
    each(step, states, |state, row| {
        for h in 0..heads {
            let key_head = if k.interleaved { h % key_heads } else { h / (heads / key_heads) };
            let key = (row * key_heads + key_head) * key_dim;
            let (q, key) = (unit(&q[key..][..key_dim]), unit(&keys[key..][..key_dim]));
            let given = wide(a[row * heads + h]) + wide(inputs.dt_bias[h]);
            let d = given.max(0.0) + (-given.abs()).exp().ln_1p();
            let decay = wide(inputs.decay[h]);
            let kept = (if k.log_decay { -decay.exp() } else { decay } * d).exp();
            let beta = 1.0 / (1.0 + (-wide(b[row * heads + h])).exp());
            let state = &mut state[h * key_dim * value_dim..][..key_dim * value_dim];
            state.iter_mut().for_each(|s| *s *= kept);
            for j in 0..value_dim {
                let at = (row * heads + h) * value_dim + j;
                let known: f64 = (0..key_dim).map(|i| key[i] * state[i * value_dim + j]).sum();
                let correction = beta * (wide(v[at]) - known);
                let mut sum = 0.0;
                for i in 0..key_dim {
                    let s = &mut state[i * value_dim + j];
                    *s += key[i] * correction;
                    sum += q[i] * *s;
                }
                y[at] = (sum / (key_dim as f64).sqrt()) as f32;
            }
        }
    });
    y
}

/// Runs all kernels of a step.
fn launch(k: &Delta, shape: Shape, step: &Step, inputs: &Inputs, state: &Memory) -> Vec<f32> {
    let Shape { heads, key_heads, key_dim, value_dim } = shape;
    let (runs, saves) = tables(step);
    let tokens = rows(step) as usize;
    let mut chunks = vec![0; tokens / CHUNK as usize];
    fill(&runs, &saves, &mut chunks);
    let numbers = if k.chunked { chunks.len() } else { 0 };
    let (runs, saves, chunks) = (words(&runs), words(&saves), words(&chunks));
    let [q, keys, v, a, b] = &inputs.rows;
    let [q, keys, v, a, b] = [q, keys, v, a, b].map(|x| floats(x));
    let (decay, dt_bias) = (floats(&inputs.decay), floats(&inputs.dt_bias));
    let factors = result(numbers * heads * (FACTORS * CHUNK) as usize);
    let [of_keys, of_queries] =
        [(); 2].map(|()| result(numbers * key_heads * (CHUNK * CHUNK) as usize));
    let corrections = result(if k.chunked { tokens * heads * value_dim } else { 0 });
    let readers = result(if k.chunked { tokens * heads * key_dim } else { 0 });
    let before = result(numbers * shape.state_len());
    let y = result(tokens * heads * value_dim);
    let [heads, key_heads, key_dim, value_dim] =
        [heads, key_heads, key_dim, value_dim].map(|x| x as u32);
    let of_chunks = numbers as u32;
    if k.chunked {
        let args = GramArgs { width: key_dim, groups: key_heads, chunks: of_chunks };
        run(&Gram, &args, &[&chunks, &keys, &keys, &of_keys]);
        run(&Gram, &args, &[&chunks, &q, &keys, &of_queries]);
        let kernel = DeltaSolve { log_decay: k.log_decay, interleaved: k.interleaved };
        let args =
            DeltaSolveArgs { heads, key_heads, key_dim, value_dim, chunks: of_chunks, eps: EPS };
        let buffers = [
            &chunks,
            &of_keys,
            &q,
            &keys,
            &v,
            &a,
            &b,
            &decay,
            &dt_bias,
            &factors,
            &corrections,
            &readers,
        ];
        run(&kernel, &args, &buffers);
    }
    let args = DeltaArgs { heads, key_heads, value_dim, runs: step.len() as u32, eps: EPS };
    let mut buffers = vec![&runs, &saves, &q, &keys, &v, &a, &b, &decay, &dt_bias];
    if k.chunked {
        buffers.extend([&factors, &readers, &corrections, &before]);
    }
    buffers.extend([state, &y]);
    run(k, &args, &buffers);
    if k.chunked {
        let args = ChunkReadArgs {
            heads,
            groups: key_heads,
            head_dim: value_dim,
            state: key_dim,
            chunks: of_chunks,
        };
        let buffers = [&chunks, &factors, &of_queries, &q, &before, &corrections, &y];
        run(&ChunkRead { interleaved: k.interleaved, skip: false }, &args, &buffers);
    }
    read(&y)
}

fn check(k: &Delta, shape: Shape, step: &Step) {
    let inputs = Inputs::new(k, shape, rows(step) as usize);
    let mut states = random(8, SLOTS * shape.state_len());
    let state = floats(&states);
    let y = launch(k, shape, step, &inputs, &state);
    let wanted = reference(k, shape, step, &inputs, &mut states);
    let what = format!("{k:?} {shape:?} {step:?}");
    close(&what, &y, &wanted, 5e-6);
    close(&what, &read(&state), &states, 5e-6);
}

const DELTA: Delta =
    Delta { key_dim: 8, log_decay: true, interleaved: false, chunked: false, simdgroups: 2 };
const SHAPE: Shape = Shape { heads: 3, key_heads: 1, key_dim: 8, value_dim: 20 };

#[test]
fn one_by_one() {
    for step in &steps() {
        check(&DELTA, SHAPE, step);
    }
}

#[test]
fn in_chunks() {
    for step in &steps() {
        check(&Delta { chunked: true, ..DELTA }, SHAPE, step);
    }
}

/// Odd numbers of heads, keys and values that are no multiple of anything, all specialisations.
#[test]
fn every_shape() {
    let step = vec![of(3, 62, 1, 2, &[(1, 3)]), of(70, 0, NO_SLOT, 0, &[])];
    for (heads, key_heads, key_dim, value_dim, simdgroups) in
        [(1, 1, 1, 1, 1), (5, 5, 5, 33, 5), (6, 2, 20, 70, 4), (9, 3, 16, 32, 1)]
    {
        for (log_decay, interleaved, chunked) in
            [(true, false, true), (false, true, true), (true, true, false)]
        {
            let shape = Shape { heads, key_heads, key_dim, value_dim };
            let key_dim = key_dim as u32;
            check(&Delta { key_dim, log_decay, interleaved, chunked, simdgroups }, shape, &step);
        }
    }
    let shape = Shape { heads: 1, key_heads: 1, key_dim: 160, value_dim: 130 };
    check(&Delta { key_dim: 160, chunked: true, simdgroups: 8, ..DELTA }, shape, &step);
}

/// Cuts at multiples of a chunk, and saves after each of a few tokens, change no bit.
#[test]
fn cuts_do_not_matter() {
    let k = Delta { chunked: true, ..DELTA };
    let inputs = Inputs::new(&k, SHAPE, 135);
    let run = |cuts: &[(u32, &[(u32, u32)])]| {
        let state = floats(&vec![0.0; SLOTS * SHAPE.state_len()]);
        let mut done = 0;
        let mut y = Vec::new();
        for &(len, saves) in cuts {
            let slot = if done == 0 { NO_SLOT } else { 0 };
            let rows = inputs.rows(SHAPE, done as usize..(done + len) as usize);
            y.extend(launch(&k, SHAPE, &vec![of(len, done, slot, 0, saves)], &rows, &state));
            done += len;
        }
        (y, read(&state)[..SHAPE.state_len()].to_vec())
    };
    let whole = run(&[(135, &[])]);
    assert_eq!(run(&[(64, &[]), (71, &[])]), whole);
    assert_eq!(run(&[(128, &[(64, 1)]), (3, &[]), (4, &[(1, 2), (2, 3), (3, 4)])]), whole);
}

/// Strong and weak decays side by side, keys that are nearly the same, rates near 1.
#[test]
fn hard_chunks() {
    let k = Delta { chunked: true, ..DELTA };
    let step = vec![of(128, 0, NO_SLOT, 0, &[])];
    let mut inputs = Inputs::new(&k, SHAPE, 128);
    let [_, keys, _, a, b] = &mut inputs.rows;
    for (i, key) in keys.iter_mut().enumerate() {
        *key = 1.0 + 0.3 * *key + (i % 8) as f32 * 0.1;
    }
    for (i, a) in a.iter_mut().enumerate() {
        *a = if i / 3 % 7 == 0 { 30.0 } else { -9.0 };
    }
    b.iter_mut().for_each(|b| *b = 4.0);
    let mut states = vec![0.0; SLOTS * SHAPE.state_len()];
    let state = floats(&states);
    let y = launch(&k, SHAPE, &step, &inputs, &state);
    let wanted = reference(&k, SHAPE, &step, &inputs, &mut states);
    close("outputs", &y, &wanted, 2e-5);
    close("states", &read(&state), &states, 2e-5);
}

#[test]
fn what_it_cannot_do_is_refused() {
    let args = DeltaArgs { heads: 6, key_heads: 2, value_dim: 8, runs: 1, eps: EPS };
    assert!(DELTA.check(&args).is_ok());
    for k in [
        Delta { simdgroups: 3, ..DELTA },
        Delta { key_dim: 32, simdgroups: 16, ..DELTA },
        Delta { key_dim: 0, ..DELTA },
    ] {
        assert!(k.check(&args).is_err(), "{k:?}");
    }
    for args in [
        DeltaArgs { key_heads: 4, ..args },
        DeltaArgs { key_heads: 0, ..args },
        DeltaArgs { heads: 0, ..args },
        DeltaArgs { value_dim: 0, ..args },
    ] {
        assert!(DELTA.check(&args).is_err(), "{args:?}");
    }
}
