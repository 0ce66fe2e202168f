//! The triangular system of a chunk: what its tokens are to each other, and its solution.

use tessera_tile::prelude::*;

use super::CHUNK;
use crate::chunks::{log_since_start, pairs};

/// Distance of the matrix's rows in shared memory.
pub(super) const STRIDE: u32 = CHUNK + 4;

/// What is known of each token, in shared memory.
pub(super) struct Tokens {
    /// Logarithm of the decay from the token before.
    logs: Shared<F32>,
    /// Rate of its correction.
    pub betas: Shared<F32>,
    /// What its key is divided by, as a factor.
    pub inverses: Shared<F32>,
    /// The decay since the chunk's start.
    pub since: Shared<F32>,
}

impl Tokens {
    pub fn new() -> Self {
        let [logs, betas, inverses, since] =
            ["logs", "betas", "inverses", "since"].map(|name| shared(name, CHUNK));
        Self { logs, betas, inverses, since }
    }

    pub fn set(&self, t: Val<u32>, log: Val<f32>, beta: Val<f32>, inverse: Val<f32>) {
        self.logs.set(t, log);
        self.betas.set(t, beta);
        self.inverses.set(t, inverse);
    }

    /// Sets the decays since the start, and the matrix `system`, of the products of keys as they are given.
    #[device]
    pub fn make_system(
        &self,
        system: Shared<F32>,
        product: impl Fn(Val<u32>, Val<u32>) -> Val<f32>,
    ) {
        if thread() < CHUNK {
            self.since.set(thread(), exp(log_since_start(self.logs, thread())));
        }
        pairs(self.logs, |t, s, log| {
            let size = self.betas.at(t) * self.inverses.at(t) * self.inverses.at(s);
            let x = -(size * exp(log) * product(t, s));
            system.set(t * STRIDE + s, select(t > s, x, 0.0));
        });
    }
}

/// Tells of each token by what its query is divided, and by the root of `width`, as a factor. `query(t, i)` is the place of an element.
#[device]
pub(super) fn inverse_lengths(
    q: In<F32>,
    query: impl Fn(Val<u32>, Val<u32>) -> Val<u32>,
    width: Val<u32>,
    eps: Val<f32>,
    write: impl Fn(Val<u32>, Val<f32>),
) {
    for t in (simdgroup()..CHUNK).step_by(simdgroups()) {
        let mut squares = 0.0;
        for i in (lane()..width).step_by(LANES) {
            let x = q.at(query(t, i));
            squares = fma(x, x, squares);
        }
        let inverse = rsqrt((simd_sum(squares) + eps) * width.f32());
        if lane() == 0 {
            write(t, inverse);
        }
    }
}

/// The unknowns `x[t] = right[t] + sum over s < t of system[t][s] x[s]`.
pub(super) fn solve(system: Shared<F32>, right: impl Fn(Val<u32>) -> Val<f32>) -> Vec<Val<f32>> {
    let mut known: Vec<Val<f32>> = Vec::with_capacity(CHUNK as usize);
    for t in 0..CHUNK {
        // two sums, as neither waits for the other
        let mut sums = [right(val(t)), val(0.0)];
        for first in (0..t).step_by(4) {
            let factors: [_; 4] = system.load(val(t * STRIDE + first));
            for (i, (&x, factor)) in known[first as usize..].iter().zip(factors).enumerate() {
                sums[i % 2] = fma(factor, x, sums[i % 2]);
            }
        }
        known.push(sums[0] + sums[1]);
    }
    known
}
