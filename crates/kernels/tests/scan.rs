//! Selective state spaces, token by token and in chunks, against one token after the other in f64.

mod common;

use common::{
    close, floats, random, read, result, run,
    steps::{SLOTS, Step, each, of, rows, steps, tables},
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

fn scaled(seed: u64, len: usize, scale: f32, offset: f32) -> Vec<f32> {
    random(seed, len).iter().map(|x| x * scale + offset).collect()
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

impl Inputs {
    fn new(k: &Scan, shape: Shape, rows: usize) -> Self {
        let Shape { heads, groups, head_dim, state: n, .. } = shape;
        Self {
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

    /// Some of the rows.
    fn rows(&self, shape: Shape, rows: std::ops::Range<usize>) -> Self {
        let Shape { heads, groups, head_dim, state: n, .. } = shape;
        let of = |of: &[f32], width: usize| of[rows.start * width..rows.end * width].to_vec();
        Self {
            x: of(&self.x, heads * head_dim),
            dt: of(&self.dt, heads),
            b: of(&self.b, groups * n),
            c: of(&self.c, groups * n),
            decay: self.decay.clone(),
            dt_bias: self.dt_bias.clone(),
            skip: self.skip.clone(),
        }
    }
}

/// The result of a step in f64; `states` become what they are after it.
fn reference(k: &Scan, shape: Shape, step: &Step, inputs: &Inputs, states: &mut [f32]) -> Vec<f32> {
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

/// Runs all kernels of a step.
fn launch(k: &Scan, shape: Shape, step: &Step, inputs: &Inputs, state: &Memory) -> Vec<f32> {
    let Shape { heads, groups, head_dim, state: n, limits: (least, greatest) } = shape;
    let (runs, saves) = tables(step);
    let mut chunks = vec![0; rows(step) as usize / CHUNK as usize];
    fill(&runs, &saves, &mut chunks);
    let numbers = if k.chunked { chunks.len() } else { 0 };
    let (runs, saves, chunks) = (words(&runs), words(&saves), words(&chunks));
    let [x, dt, b, c] = [&inputs.x, &inputs.dt, &inputs.b, &inputs.c].map(|x| floats(x));
    let [decay, dt_bias, skip] = [&inputs.decay, &inputs.dt_bias, &inputs.skip].map(|x| floats(x));
    let factors = result(numbers * heads * (FACTORS * CHUNK) as usize);
    let products = result(numbers * groups * (CHUNK * CHUNK) as usize);
    let carried = result(numbers * heads * n * head_dim);
    let y = result(inputs.x.len());
    let [heads, groups, head_dim, n] = [heads, groups, head_dim, n].map(|x| x as u32);
    let of_chunks = numbers as u32;
    if k.chunked {
        let args = GramArgs { width: n, groups, chunks: of_chunks };
        run(&Gram, &args, &[&chunks, &c, &b, &products]);
        let args =
            ScanCarryArgs { heads, groups, head_dim, state: n, chunks: of_chunks, least, greatest };
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
    run(k, &args, &buffers);
    if k.chunked {
        let args = ChunkReadArgs { heads, groups, head_dim, state: n, chunks: of_chunks };
        let mut buffers: Vec<&Memory> = vec![&chunks, &factors, &products, &c, &carried, &x];
        buffers.extend(k.skip.then_some(&skip));
        buffers.push(&y);
        run(&ChunkRead { interleaved: false, skip: k.skip }, &args, &buffers);
    }
    read(&y)
}

fn check(k: &Scan, shape: Shape, step: &Step) {
    let inputs = Inputs::new(k, shape, rows(step) as usize);
    let mut states = random(8, SLOTS * shape.heads * shape.state * shape.head_dim);
    let state = floats(&states);
    let y = launch(k, shape, step, &inputs, &state);
    let wanted = reference(k, shape, step, &inputs, &mut states);
    let what = format!("{k:?} {shape:?} {step:?}");
    close(&what, &y, &wanted, 3e-6);
    close(&what, &read(&state), &states, 3e-6);
}

const SCAN: Scan = Scan { state: 8, log_decay: true, skip: true, chunked: false, simdgroups: 2 };
const SHAPE: Shape = Shape { heads: 3, groups: 1, head_dim: 20, state: 8, limits: (0.0, f32::MAX) };

#[test]
fn one_by_one() {
    for step in &steps() {
        check(&SCAN, SHAPE, step);
    }
}

#[test]
fn in_chunks() {
    for step in &steps() {
        check(&Scan { chunked: true, ..SCAN }, SHAPE, step);
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
            check(&k, shape, &step);
        }
    }
    let shape = Shape { heads: 1, head_dim: 64, state: 96, ..SHAPE };
    check(&Scan { state: 96, chunked: true, simdgroups: 8, ..SCAN }, shape, &step);
}

/// Cuts at multiples of a chunk, and saves after each of a few tokens, change no bit.
#[test]
fn cuts_do_not_matter() {
    let k = Scan { chunked: true, ..SCAN };
    let inputs = Inputs::new(&k, SHAPE, 135);
    let run = |cuts: &[(u32, &[(u32, u32)])]| {
        let state = floats(&vec![0.0; SLOTS * SHAPE.heads * SHAPE.state * SHAPE.head_dim]);
        let mut done = 0;
        let mut y = Vec::new();
        for &(len, saves) in cuts {
            let slot = if done == 0 { NO_SLOT } else { 0 };
            let rows = inputs.rows(SHAPE, done as usize..(done + len) as usize);
            y.extend(launch(&k, SHAPE, &vec![of(len, done, slot, 0, saves)], &rows, &state));
            done += len;
        }
        let len = SHAPE.heads * SHAPE.state * SHAPE.head_dim;
        (y, read(&state)[..len].to_vec())
    };
    let whole = run(&[(135, &[])]);
    assert_eq!(run(&[(64, &[]), (71, &[])]), whole);
    assert_eq!(run(&[(128, &[(64, 1)]), (3, &[]), (4, &[(1, 2), (2, 3), (3, 4)])]), whole);
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
