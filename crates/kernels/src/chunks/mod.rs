//! Long runs of recurrences, in chunks of [`CHUNK`] tokens.
//!
//! A chunk begins at a position that is a multiple of its length; a run holds it whole and saves nothing strictly inside. All
//! other tokens go one by one. Within a chunk tokens do not wait for each other, and chunks only for the state:
//!
//! | | state space | delta rule |
//! |---|---|---|
//! | products of all pairs of a chunk's tokens | [`gram`] of `c` and `b` | [`gram`] of `k` and `k`, of `q` and `k` |
//! | what a chunk does to the state | [`carry`] | [`solve`] |
//! | from chunk to chunk, and tokens one by one | [`scan`](crate::scan) | [`delta`](crate::delta) |
//! | what a chunk's tokens read | [`read`] | [`read`], of `q` and the corrections |
//!
//! A chunk's number is its first row divided by [`CHUNK`]: two never have the same. The table `chunks` has the first row of
//! each number, [`NO_CHUNK`] where there is none; [`fill`] makes it.

pub mod block;
pub mod carry;
pub mod gram;
pub mod read;
pub mod solve;

use tessera_tile::prelude::*;

use crate::tables::{run, save};

/// Tokens of a chunk.
pub const CHUNK: u32 = tessera_graph::CHUNK as u32;

/// In place of a chunk's first row.
pub const NO_CHUNK: u32 = u32::MAX;

/// What [`carry`] and [`solve`] tell of a chunk's tokens: `factors` is `[chunks, heads, FACTORS, CHUNK]`.
pub const FACTORS: u32 = 3;

/// Which of a token's factors.
pub mod factor {
    /// Logarithm of the decay from the token before.
    pub const LOG: u32 = 0;
    /// On what the token reads.
    pub const READ: u32 = 1;
    /// On what the token writes.
    pub const WRITE: u32 = 2;
}

/// Fills the table `chunks`, `[rows / CHUNK]`, from those of a step.
///
/// # Panics
/// When the tables are not those of a step of that many rows.
pub fn fill(runs: &[u32], saves: &[u32], chunks: &mut [u32]) {
    chunks.fill(NO_CHUNK);
    for one in runs.chunks_exact(run::WORDS as usize) {
        let of = |word: u32| one[word as usize];
        let first_save = (of(run::SAVES) * save::WORDS) as usize;
        let saves = &saves[first_save..][..(of(run::SAVE_COUNT) * save::WORDS) as usize];
        let ends = saves.chunks_exact(save::WORDS as usize).map(|s| s[save::AFTER as usize]);
        let mut done = 0;
        for end in ends.chain([of(run::LEN)]) {
            let mut from = done + (CHUNK - (of(run::POSITION) + done) % CHUNK) % CHUNK;
            while from + CHUNK <= end {
                let row = of(run::ROW) + from;
                chunks[(row / CHUNK) as usize] = row;
                from += CHUNK;
            }
            done = end;
        }
    }
}

/// Where a factor of a chunk's first token is; `of` is `chunk * heads + head`.
pub(crate) fn factor_of(of: Val<u32>, which: u32) -> Val<u32> {
    (of * FACTORS + which) * CHUNK
}

/// The logarithm of the decay over a chunk, the same for all lanes of a simdgroup.
pub(crate) fn total_log(factors: In<F32>, of: Val<u32>) -> Val<f32> {
    let at = factor_of(of, factor::LOG) + lane();
    simd_sum(factors.at(at) + factors.at(at + LANES))
}

/// The sum of the logarithms up to token `t`.
#[device]
pub(crate) fn log_since_start(logs: Shared<F32>, t: Val<u32>) -> Val<f32> {
    let mut log = 0.0;
    for i in 0..t + 1 {
        log += logs.at(i);
    }
    log.get()
}

/// Calls `each(t, s, log)` for each pair of tokens, `log` being the logarithm of the decay from `s` to `t` if `s <= t`.
///
/// It is made of the sum between them, not of a difference of sums from the beginning: logarithms are all of one sign, so
/// nothing cancels. A thread has a part of the column `s`.
#[device]
pub(crate) fn pairs(logs: Shared<F32>, each: impl Fn(Val<u32>, Val<u32>, Val<f32>)) {
    let s = thread() % CHUNK;
    let rows = CHUNK * CHUNK / threads();
    let from = thread() / CHUNK * rows;
    let mut log = 0.0;
    for t in s + 1..from {
        log += logs.at(t);
    }
    for t in from..from + rows {
        log += select(t > s, logs.at(t), 0.0);
        each(t, s, log.get());
    }
}
