//! Tokens from logits: nothing is sorted, and all sums are exact, whatever order threads come in.
//!
//! | kernel | a threadgroup for | makes |
//! |---|---|---|
//! | [`survey`] | each [`BLOCK`] of each row | adjusted logits; the likeliest token of the block |
//! | [`weigh`] | each [`BLOCK`] of each row | `exp((logit - max) / temperature)`, its sums, a first histogram |
//! | [`draw`] | each row | the token, from the likeliest or by top-k, top-p, min-p and a draw |
//! | [`report`] | each row | log probabilities, of the logits as they were |
//!
//! Where every row takes the largest, `survey` and `draw` with `greedy` are enough.
//!
//! Top-k, top-p and the draw itself are one thing: the fewest tokens, taken in some order, whose measures reach a limit
//! ([`search`]). Top-k counts tokens from the likeliest down, top-p adds up weights in the same order, and the draw adds
//! up weights in the order of ids until they exceed `u` of the total.
//!
//! Weights are at most 1, the largest is 1, and their sums count multiples of 2^-44 in 64 bits ([`wide`]): a weight loses
//! less than 2^-44, a total at least 1 less than 2^-24 even of a million tokens, and a weight below 2^-44 is never drawn.
//!
//! A row has failed where a logit, after bias and penalties, is NaN or plus infinity, masked or not, or where no
//! allowed one is above minus infinity. Minus infinity is a probability of zero.

mod adjust;
mod best;
mod bins;
mod choose;
pub mod draw;
mod items;
mod likely;
pub mod report;
pub mod search;
pub mod survey;
pub mod weigh;
pub mod wide;

pub use bins::BINS;
use tessera_tile::prelude::*;

use crate::{check::ensure, tables::draw as words};

/// Tokens of a block: what one threadgroup of [`survey`] and [`weigh`] looks at.
pub const BLOCK: u32 = 1024;

/// Tokens of a vocabulary at most: an id has 20 bits.
pub const MAX_VOCAB: u32 = (1 << 20) - 1;

/// Bits of a weight, which is at most 1.
const WEIGHT_BITS: u32 = 30;

/// Scalars of the kernels that draw.
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct SampleArgs {
    /// Logits of a row.
    pub vocab: u32,
    /// Rows of `draws`.
    pub draws: u32,
}

impl SampleArgs {
    /// Blocks of a row.
    pub fn blocks(&self) -> u32 {
        self.vocab.div_ceil(BLOCK)
    }
}

/// Whether `threads` for a block or row, and `vocab` tokens, are what the kernels can do.
fn check(threads: u32, vocab: u32) -> Result<(), String> {
    let known = threads.is_power_of_two() && (LANES..=BLOCK).contains(&threads);
    ensure!(known, "{threads} threads, not a power of two from {LANES} to {BLOCK}");
    let known = (1..=MAX_VOCAB).contains(&vocab);
    ensure!(known, "a vocabulary of {vocab} tokens, not 1 to {MAX_VOCAB}");
    Ok(())
}

/// A threadgroup's block of a row, in kernels that have the grid `[blocks, draws]`.
struct Block {
    draw: Draws,
    /// Its first token.
    first: Val<u32>,
    /// Tokens there are in it.
    len: Val<u32>,
    /// The thread's places in it, some of them behind its end.
    mine: Vec<Val<u32>>,
    /// Where its logits begin.
    from: Val<u32>,
}

impl Block {
    #[device]
    fn new(table: In<U32>, vocab: Val<u32>) -> Self {
        let draw = Draws { table, row: group(1) };
        let first = group(0) * BLOCK;
        let len = min(vocab - first, BLOCK);
        let from = draw.word(words::ROW) * vocab + first;
        let place = |i: u32| thread() + i * threads();
        let mine: Vec<_> = (0..BLOCK / threads()).map(place).collect();
        Self { draw, first, len, mine, from }
    }
}

/// A row of the table `draws`.
#[derive(Clone, Copy)]
struct Draws {
    table: In<U32>,
    row: Val<u32>,
}

impl Draws {
    fn word(self, word: u32) -> Val<u32> {
        self.table.at(self.row * words::WORDS + word)
    }

    fn float(self, word: u32) -> Val<f32> {
        self.word(word).as_float()
    }

    /// Whether it draws at all, or takes the largest.
    #[device]
    fn is_random(self) -> Val<bool> {
        self.float(words::TEMPERATURE) > 0.0
    }

    /// Whether top-k drops any of `vocab` tokens.
    #[device]
    fn has_top_k(self, vocab: Val<u32>) -> Val<bool> {
        let k = self.word(words::TOP_K);
        (k > 0) & (k < vocab)
    }

    /// Whether top-p drops any.
    #[device]
    fn has_top_p(self) -> Val<bool> {
        self.float(words::TOP_P) < 1.0
    }
}
