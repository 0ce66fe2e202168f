//! Selective state spaces, token by token and in chunks, against one token after the other in f64.

mod common;

use std::ops::Range;

use common::{
    floats, random, read,
    recurrent::Recurrence,
    result, run, scaled,
    steps::{Step, each, of, rows, steps, tables},
    words,
};
use tessera_kernels::{
    chunks::{
        CHUNK, FACTORS, NO_CHUNK,
        carry::{ScanCarry, ScanCarryArgs},
        fill,
        gram::{Gram, GramArgs},
        read::{ChunkRead, ChunkReadArgs},
    },
    scan::{Scan, ScanArgs},
    tables::NO_SLOT,
};
use tessera_tile::{Spec, sim::Memory};

/// Shape of a scan.
#[derive(Debug, Clone, Copy)]
struct Shape {
    heads: usize,
    groups: usize,
    head_dim: usize,
    state: usize,
    limits: (f32, f32),
}

/// What a scan of some rows is given.
struct Inputs {
    x: Vec<f32>,
    dt: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
    decay: Vec<f32>,
    dt_bias: Vec<f32>,
    skip: Vec<f32>,
}

/// A kernel and its shape.
#[derive(Debug, Clone, Copy)]
struct Case {
    kernel: Scan,
    shape: Shape,
}

impl Recurrence for Case {
    type Inputs = Inputs;

    fn state_len(&self) -> usize {
        let shape = self.shape;
        shape.heads * shape.state * shape.head_dim
    }

    fn inputs(&self, rows: usize) -> Inputs {
        let Self { kernel: k, shape } = *self;
        let Shape { heads, groups, head_dim, state: n, .. } = shape;
        Inputs {
            x: random(1, rows * heads * head_dim),
            dt: scaled(2, rows * heads, 3.0, -2.0),
            b: random(3, rows * groups * n),
            c: random(4, rows * groups * n),
            decay: match k.log_decay {
                true => scaled(5, heads, 1.5, 0.5),
                false => scaled(5, heads, 2.0, -2.1),
            },
            dt_bias: random(6, heads),
            skip: random(7, heads),
        }
    }

    fn part(&self, inputs: &Inputs, rows: Range<usize>) -> Inputs {
        let shape = self.shape;
        let Shape { heads, groups, head_dim, state: n, .. } = shape;
        let of = |of: &[f32], width: usize| of[rows.start * width..rows.end * width].to_vec();
        Inputs {
            x: of(&inputs.x, heads * head_dim),
            dt: of(&inputs.dt, heads),
            b: of(&inputs.b, groups * n),
            c: of(&inputs.c, groups * n),
            decay: inputs.decay.clone(),
            dt_bias: inputs.dt_bias.clone(),
            skip: inputs.skip.clone(),
        }
    }

    fn launch(&self, step: &Step, inputs: &Inputs, state: &Memory) -> Vec<f32> {
        let Self { kernel: k, shape } = *self;
        let Shape { heads, groups, head_dim, state: n, limits: (least, greatest) } = shape;
        let (runs, saves) = tables(step);
        let mut chunks = vec![0; rows(step) as usize / CHUNK as usize];
        fill(&runs, &saves, &mut chunks);
        let numbers = if k.chunked { chunks.len() } else { 0 };
        let (runs, saves, chunks) = (words(&runs), words(&saves), words(&chunks));
        let [x, dt, b, c] = [&inputs.x, &inputs.dt, &inputs.b, &inputs.c].map(|x| floats(x));
        let [decay, dt_bias, skip] =
            [&inputs.decay, &inputs.dt_bias, &inputs.skip].map(|x| floats(x));
        let factors = result(numbers * heads * (FACTORS * CHUNK) as usize);
        let products = result(numbers * groups * (CHUNK * CHUNK) as usize);
        let carried = result(numbers * heads * n * head_dim);
        let y = result(inputs.x.len());
        let [heads, groups, head_dim, n] = [heads, groups, head_dim, n].map(|x| x as u32);
        let of_chunks = numbers as u32;
        if k.chunked {
            let args = GramArgs { width: n, groups, chunks: of_chunks };
            run(&Gram, &args, &[&chunks, &c, &b, &products]);
            let args = ScanCarryArgs {
                heads,
                groups,
                head_dim,
                state: n,
                chunks: of_chunks,
                least,
                greatest,
            };
            let buffers = [&chunks, &x, &dt, &b, &decay, &dt_bias, &factors, &carried];
            run(&ScanCarry { log_decay: k.log_decay }, &args, &buffers);
        }
        let args = ScanArgs { heads, groups, head_dim, runs: step.len() as u32, least, greatest };
        let mut buffers = vec![&runs, &saves, &x, &dt, &b, &c, &decay, &dt_bias];
        buffers.extend(k.skip.then_some(&skip));
        if k.chunked {
            buffers.extend([&factors, &carried]);
        }
        buffers.extend([state, &y]);
        run(&k, &args, &buffers);
        if k.chunked {
            let args = ChunkReadArgs { heads, groups, head_dim, state: n, chunks: of_chunks };
            let mut buffers: Vec<&Memory> = vec![&chunks, &factors, &products, &c, &carried, &x];
            buffers.extend(k.skip.then_some(&skip));
            buffers.push(&y);
            run(&ChunkRead { interleaved: false, skip: k.skip }, &args, &buffers);
        }
        read(&y)
    }

    fn reference(&self, step: &Step, inputs: &Inputs, states: &mut [f32]) -> Vec<f32> {
        let Self { kernel: k, shape } = *self;
        let Shape { heads, groups, head_dim, state: n, limits } = shape;
        let Inputs { x, dt, b, c, decay, dt_bias, skip } = inputs;
        let mut y = vec![0.0; x.len()];
        let wide = |x: f32| f64::from(x);
        each(step, states, |state, row| {
            for h in 0..heads {
                let group = (row * groups + h / (heads / groups)) * n;
                let given = wide(dt[row * heads + h]) + wide(dt_bias[h]);
                let d = given.max(0.0) + (-given.abs()).exp().ln_1p();
                let d = d.clamp(wide(limits.0), wide(limits.1));
                let rate = if k.log_decay { -wide(decay[h]).exp() } else { wide(decay[h]) };
                let kept = (rate * d).exp();
                for p in 0..head_dim {
                    let at = (row * heads + h) * head_dim + p;
                    let mut sum = if k.skip { wide(skip[h]) * wide(x[at]) } else { 0.0 };
                    for i in 0..n {
                        let s = &mut state[(h * n + i) * head_dim + p];
                        *s = kept * *s + d * wide(b[group + i]) * wide(x[at]);
                        sum += wide(c[group + i]) * *s;
                    }
                    y[at] = sum as f32;
                }
            }
        });
        y
    }
}

/// What sums may differ by.
const NEAR: f32 = 3e-6;

const SCAN: Scan = Scan { state: 8, log_decay: true, skip: true, chunked: false, simdgroups: 2 };
const SHAPE: Shape = Shape { heads: 3, groups: 1, head_dim: 20, state: 8, limits: (0.0, f32::MAX) };

fn case(kernel: Scan, shape: Shape) -> Case {
    Case { kernel, shape }
}

#[test]
fn one_by_one() {
    for step in steps() {
        case(SCAN, SHAPE).check(&step, NEAR);
    }
}

#[test]
fn cuts_do_not_matter() {
    case(Scan { chunked: true, ..SCAN }, SHAPE).check_cuts();
}

#[test]
fn in_chunks() {
    for step in steps() {
        case(Scan { chunked: true, ..SCAN }, SHAPE).check(&step, NEAR);
    }
}

/// Odd numbers of heads and groups, states and heads that are no multiple of anything, all specialisations.
#[test]
fn every_shape() {
    let step = vec![of(3, 62, 1, 2, &[(1, 3)]), of(70, 0, NO_SLOT, 0, &[])];
    for (heads, groups, head_dim, state, simdgroups) in
        [(1, 1, 1, 1, 1), (5, 5, 33, 5, 5), (6, 2, 70, 20, 4), (3, 3, 64, 16, 1)]
    {
        for (log_decay, skip, chunked) in
            [(true, false, true), (false, true, true), (false, false, false)]
        {
            let shape = Shape { heads, groups, head_dim, state, limits: (0.05, 0.6) };
            let k = Scan { state: state as u32, log_decay, skip, chunked, simdgroups };
            case(k, shape).check(&step, NEAR);
        }
    }
    let shape = Shape { heads: 1, head_dim: 64, state: 96, ..SHAPE };
    case(Scan { state: 96, chunked: true, simdgroups: 8, ..SCAN }, shape).check(&step, NEAR);
}

/// Chunks begin at absolute positions, are held whole, and have no save strictly inside.
#[test]
fn which_tokens_are_in_chunks() {
    let step = vec![
        of(63, 0, NO_SLOT, 0, &[]),
        of(130, 64, 1, 1, &[(64, 2)]),
        of(150, 30, 1, 2, &[(98, 3), (100, 4)]),
        of(66, 0, NO_SLOT, 6, &[(2, 5)]),
    ];
    let (runs, saves) = tables(&step);
    let mut chunks = vec![0; rows(&step) as usize / 64];
    fill(&runs, &saves, &mut chunks);
    let mut wanted = vec![NO_CHUNK; chunks.len()];
    for row in [63, 127, 63 + 130 + 34] {
        wanted[row as usize / 64] = row;
    }
    assert_eq!(chunks, wanted);
}

#[test]
fn what_it_cannot_do_is_refused() {
    let (heads, groups, head_dim, runs, least, greatest) = (6, 2, 8, 1, 0.0, 1.0);
    let args = ScanArgs { heads, groups, head_dim, runs, least, greatest };
    assert!(SCAN.check(&args).is_ok());
    assert!(Scan { simdgroups: 3, ..SCAN }.check(&args).is_err());
    for args in [
        ScanArgs { groups: 4, ..args },
        ScanArgs { groups: 0, ..args },
        ScanArgs { heads: 0, ..args },
        ScanArgs { head_dim: 0, ..args },
        ScanArgs { least: 2.0, ..args },
    ] {
        assert!(SCAN.check(&args).is_err(), "{args:?}");
    }
}
