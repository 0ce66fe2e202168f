//! Tokens one by one, and chunks.

use tessera_tile::prelude::*;

use super::ScanArgs;
use crate::{
    chunks::{CHUNK, total_log},
    recurrence::{Part, column_sums},
    unit::softplus,
};

/// What a threadgroup works with.
pub(super) struct Work {
    pub part: Part,
    pub x: In<F32>,
    pub dt: In<F32>,
    pub b: In<F32>,
    pub c: In<F32>,
    pub factors: Option<In<F32>>,
    pub carried: Option<InOut<F32>>,
    pub y: Out<F32>,
    pub a: Args<ScanArgs>,
    pub of_group: Val<u32>,
    pub rate: Val<f32>,
    pub bias: Val<f32>,
    pub skip: Val<f32>,
    pub parts: Shared<F32>,
}

/// One token.
#[device]
pub(super) fn token(w: &Work, row: Val<u32>) {
    let (a, part) = (&w.a, &w.part);
    let step = softplus(w.dt.at(row * a.heads + part.head) + w.bias);
    let step = min(max(step, a.least), a.greatest);
    let kept = exp(w.rate * step);
    let at = part.element(row);
    let x = w.x.at(at);
    let added = x * step;
    let b = part.of_rows(w.b, row, w.of_group, a.groups);
    let c = part.of_rows(w.c, row, w.of_group, a.groups);
    let mut sum = 0.0;
    for r in 0..part.state.len() {
        part.state[r] = fma(b[r], added, part.state[r] * kept);
        sum = fma(c[r], part.state[r], sum);
    }
    let [sum] = column_sums(w.parts, row, [sum.get()]);
    if (simdgroup() == 0) & part.inside {
        w.y.set(at, fma(w.skip, x, sum));
    }
}

/// One chunk: what it does to the state is known, and it finds the state as it was before.
#[device]
pub(super) fn chunk(w: &Work, row: Val<u32>) {
    let part = &w.part;
    let chunk = row / CHUNK;
    if let (Some(factors), Some(carried)) = (w.factors, w.carried) {
        let kept = exp(total_log(factors, chunk * w.a.heads + part.head));
        if part.inside {
            for r in 0..part.state.len() {
                let at = part.place(chunk, r);
                let added = carried.at(at);
                carried.set(at, part.state[r]);
                part.state[r] = fma(part.state[r], kept, added);
            }
        }
    }
}
