//! Tokens one by one.

use tessera_tile::prelude::*;

use super::Work;
use crate::{
    recurrence::column_sums,
    unit::{sigmoid, softplus},
};

/// One token.
#[device]
pub(super) fn token(w: &Work, row: Val<u32>) {
    let (args, part) = (&w.args, &w.part);
    let gate = row * args.heads + part.head;
    let kept = exp(w.rate * softplus(w.a.at(gate) + w.bias));
    let beta = sigmoid(w.b.at(gate));
    let first = (row * args.key_heads + w.key_head) * w.key_dim;
    let mut squares = [0.0; 2];
    let mut product = 0.0;
    for i in (lane()..w.key_dim).step_by(LANES) {
        let (q, k) = (w.q.at(first + i), w.keys.at(first + i));
        squares[0] = fma(q, q, squares[0]);
        squares[1] = fma(k, k, squares[1]);
        product = fma(q, k, product);
    }
    let scale_q = rsqrt((simd_sum(squares[0]) + args.eps) * w.key_dim as f32);
    let scale_k = rsqrt(simd_sum(squares[1]) + args.eps);
    let product = simd_sum(product) * scale_q * scale_k;
    let q = part.of_rows(w.q, row, w.key_head, args.key_heads);
    let k = part.of_rows(w.keys, row, w.key_head, args.key_heads);
    let mut known = 0.0;
    let mut read = 0.0;
    for r in 0..part.state.len() {
        part.state[r] *= kept;
        known = fma(k[r], part.state[r], known);
        read = fma(q[r], part.state[r], read);
    }
    let [known, read] = column_sums(w.parts, row, [known.get(), read.get()]);
    let at = part.element(row);
    let correction = beta * (w.v.at(at) - known * scale_k);
    let written = correction * scale_k;
    for r in 0..part.state.len() {
        part.state[r] = fma(k[r], written, part.state[r]);
    }
    if (simdgroup() == 0) & part.inside {
        w.y.set(at, fma(product, correction, read * scale_q));
    }
}
