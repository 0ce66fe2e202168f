//! Gated delta rules, token by token and in chunks, against one token after the other in f64.

mod common;

use std::ops::Range;

use common::{
    floats, random, read,
    recurrent::Recurrence,
    result, run, scaled,
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

const EPS: f32 = 1e-6;

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

/// A kernel and its shape.
#[derive(Debug, Clone, Copy)]
struct Case {
    kernel: Delta,
    shape: Shape,
}

impl Recurrence for Case {
    type Inputs = Inputs;

    fn state_len(&self) -> usize {
        let shape = self.shape;
        shape.heads * shape.key_dim * shape.value_dim
    }

    fn inputs(&self, rows: usize) -> Inputs {
        let Self { kernel: k, shape } = *self;
        let [q, keys, v, a, b] = widths(shape).map(|width| width * rows);
        Inputs {
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

    fn part(&self, inputs: &Inputs, rows: Range<usize>) -> Inputs {
        let shape = self.shape;
        let widths = widths(shape);
        let of = |i: usize| inputs.rows[i][rows.start * widths[i]..rows.end * widths[i]].to_vec();
        Inputs {
            rows: std::array::from_fn(of),
            decay: inputs.decay.clone(),
            dt_bias: inputs.dt_bias.clone(),
        }
    }

    fn launch(&self, step: &Step, inputs: &Inputs, state: &Memory) -> Vec<f32> {
        let Self { kernel: k, shape } = *self;
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
        let before = result(numbers * self.state_len());
        let y = result(tokens * heads * value_dim);
        let [heads, key_heads, key_dim, value_dim] =
            [heads, key_heads, key_dim, value_dim].map(|x| x as u32);
        let of_chunks = numbers as u32;
        if k.chunked {
            let args = GramArgs { width: key_dim, groups: key_heads, chunks: of_chunks };
            run(&Gram, &args, &[&chunks, &keys, &keys, &of_keys]);
            run(&Gram, &args, &[&chunks, &q, &keys, &of_queries]);
            let kernel = DeltaSolve { log_decay: k.log_decay, interleaved: k.interleaved };
            let args = DeltaSolveArgs {
                heads,
                key_heads,
                key_dim,
                value_dim,
                chunks: of_chunks,
                eps: EPS,
            };
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
        run(&k, &args, &buffers);
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

    fn reference(&self, step: &Step, inputs: &Inputs, states: &mut [f32]) -> Vec<f32> {
        let Self { kernel: k, shape } = *self;
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
}

/// What sums may differ by.
const NEAR: f32 = 5e-6;

const DELTA: Delta =
    Delta { key_dim: 8, log_decay: true, interleaved: false, chunked: false, simdgroups: 2 };
const SHAPE: Shape = Shape { heads: 3, key_heads: 1, key_dim: 8, value_dim: 20 };

fn case(kernel: Delta, shape: Shape) -> Case {
    Case { kernel, shape }
}

#[test]
fn one_by_one() {
    for step in steps() {
        case(DELTA, SHAPE).check(&step, NEAR);
    }
}

#[test]
fn cuts_do_not_matter() {
    case(Delta { chunked: true, ..DELTA }, SHAPE).check_cuts();
}

#[test]
fn in_chunks() {
    for step in steps() {
        case(Delta { chunked: true, ..DELTA }, SHAPE).check(&step, NEAR);
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
            case(Delta { key_dim, log_decay, interleaved, chunked, simdgroups }, shape)
                .check(&step, NEAR);
        }
    }
    let shape = Shape { heads: 1, key_heads: 1, key_dim: 160, value_dim: 130 };
    case(Delta { key_dim: 160, chunked: true, simdgroups: 8, ..DELTA }, shape).check(&step, NEAR);
}

/// Strong and weak decays side by side, keys that are nearly the same, rates near 1.
#[test]
fn hard_chunks() {
    let case = case(Delta { chunked: true, ..DELTA }, SHAPE);
    let step = vec![of(128, 0, NO_SLOT, 0, &[])];
    let mut inputs = case.inputs(128);
    let [_, keys, _, a, b] = &mut inputs.rows;
    for (i, key) in keys.iter_mut().enumerate() {
        *key = 1.0 + 0.3 * *key + (i % 8) as f32 * 0.1;
    }
    for (i, a) in a.iter_mut().enumerate() {
        *a = if i / 3 % 7 == 0 { 30.0 } else { -9.0 };
    }
    b.iter_mut().for_each(|b| *b = 4.0);
    case.compare(&step, &inputs, vec![0.0; SLOTS * case.state_len()], 2e-5);
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
