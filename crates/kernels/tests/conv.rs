//! Convolutions against plain sums, with the states they leave.

mod common;

use common::{
    close, floats, random, read, result, run,
    steps::{SLOTS, Step, each, longest, of, rows, steps, tables},
    words,
};
use tessera_graph::{Activation, oracle::activate};
use tessera_kernels::{
    conv::{Conv, ConvArgs},
    tables::NO_SLOT,
};
use tessera_tile::Spec;

fn check(k: &Conv, channels: usize, step: &Step) {
    let kernel = k.kernel as usize;
    let x = random(1, rows(step) as usize * channels);
    let (weight, bias) = (random(2, channels * kernel), random(3, channels));
    let mut states = random(4, SLOTS * (kernel - 1) * channels);
    let state = floats(&states);
    let mut wanted = vec![0.0; x.len()];
    each(step, &mut states, |window, row| {
        let mut seen = window.to_vec();
        seen.extend(x[row * channels..][..channels].iter().map(|&x| f64::from(x)));
        for c in 0..channels {
            let term = |j: usize| f64::from(weight[c * kernel + j]) * seen[j * channels + c];
            let first = if k.bias { f64::from(bias[c]) } else { 0.0 };
            let sum = (first + (0..kernel).map(term).sum::<f64>()) as f32;
            wanted[row * channels + c] = k.activation.map_or(sum, |f| activate(f, sum));
        }
        window.copy_from_slice(&seen[channels..]);
    });
    let (runs, saves) = tables(step);
    let (runs, saves) = (words(&runs), words(&saves));
    let (x, weight, bias, y) = (floats(&x), floats(&weight), floats(&bias), result(wanted.len()));
    let mut buffers = vec![&runs, &saves, &x, &weight];
    buffers.extend(k.bias.then_some(&bias));
    buffers.extend([&state, &y]);
    let (channels, runs) = (channels as u32, step.len() as u32);
    run(k, &ConvArgs { channels, runs, longest: longest(step) }, &buffers);
    let what = format!("{k:?} {step:?}");
    close(&what, &read(&y), &wanted, 1e-6);
    assert_eq!(read(&state), states, "{what}");
}

const CONV: Conv =
    Conv { kernel: 4, bias: true, activation: Some(Activation::Silu), rows: 16, threads: 32 };

#[test]
fn every_step() {
    for step in &steps() {
        check(&CONV, 33, step);
        check(&Conv { kernel: 3, bias: false, activation: None, rows: 5, ..CONV }, 7, step);
    }
}

/// Windows that reach beyond what a run adds, and rows at a time that are just enough.
#[test]
fn short_runs_and_every_kernel() {
    for kernel in 2..=8 {
        for rows in [kernel - 1, kernel] {
            let step = vec![
                of(3, 5, 0, 0, &[(1, 1), (2, 2)]),
                of(2, 0, NO_SLOT, 4, &[(1, 3)]),
                of(2 * kernel + 1, 3, 5, 5, &[(kernel, 6)]),
            ];
            check(&Conv { kernel, rows, activation: None, ..CONV }, 32, &step);
        }
    }
}

#[test]
fn what_it_cannot_do_is_refused() {
    let args = ConvArgs { channels: 8, runs: 1, longest: 1 };
    assert!(CONV.check(&args).is_ok());
    for k in [Conv { kernel: 1, ..CONV }, Conv { kernel: 9, ..CONV }, Conv { rows: 2, ..CONV }] {
        assert!(k.check(&args).is_err(), "{k:?}");
    }
    assert!(CONV.check(&ConvArgs { channels: 0, ..args }).is_err());
}
