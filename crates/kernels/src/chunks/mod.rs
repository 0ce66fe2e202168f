//! Long runs of recurrences, in chunks of [`CHUNK`] tokens.
//!
//! A chunk begins at a position that is a multiple of its length; a run holds it whole and saves nothing strictly inside. All
//! other tokens go one by one. Within a chunk tokens do not wait for each other, and chunks only for the state:
//!
//! | | state space | delta rule |
//! |---|---|---|
//! | products of all pairs of a chunk's tokens | [`gram`] of `c` and `b` | [`gram`] of `k` and `k`, of `q` and `k` |
//! | what a chunk does to the state | [`carry`] | |
//! | from chunk to chunk, and tokens one by one | [`scan`](crate::scan) | |
//! | what a chunk's tokens read | [`read`] | |
//!
//! A chunk's number is its first row divided by [`CHUNK`]: two never have the same. The table `chunks` has the first row of
//! each number, [`NO_CHUNK`] where there is none; [`fill`] makes it.

pub mod block;
pub mod carry;
pub mod gram;
pub mod read;

use tessera_tile::prelude::*;

use crate::tables::{run, save};

/// Tokens of a chunk.
pub const CHUNK: u32 = tessera_graph::CHUNK as u32;

/// In place of a chunk's first row.
pub const NO_CHUNK: u32 = u32::MAX;

/// What [`carry`] tells of a chunk's tokens: `factors` is `[chunks, heads, FACTORS, CHUNK]`.
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
