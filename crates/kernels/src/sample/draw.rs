//! The token of each row.
//!
//! Version 1: one threadgroup a row. What [`weigh`](super::weigh) counted gives the first digit of the first search; the tokens that
//! may still be kept are then listed in shared memory, and everything else looks at these.

use tessera_tile::prelude::*;

use super::{
    BLOCK, Draws, SampleArgs, best,
    choose::{Row, choose},
};

/// Draws a token for each row of `draws`, or notes that the row has [`FAILED`](crate::tables::FAILED).
///
/// `parts` is what [`survey`](super::survey) made; `weights`, `bins` and `sums` are what [`weigh`](super::weigh) made. `tokens` is `[draws]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Draw {
    /// Whether every row takes the largest.
    pub greedy: bool,
    /// Threads for a row: a power of two, 32 to 1024.
    pub threads: u32,
}

impl Spec for Draw {
    type Args = SampleArgs;

    fn threads(&self) -> u32 {
        self.threads
    }

    fn grid(&self, a: &SampleArgs) -> [u32; 3] {
        [a.draws, 1, 1]
    }

    fn check(&self, a: &SampleArgs) -> Result<(), String> {
        super::check(self.threads, a.vocab)
    }
}

#[kernel]
#[allow(unused_variables)] // the specialisation tells only which buffers there are
fn draw(
    k: &Draw,
    draws: In<U32>,
    parts: In<U32>,
    #[when(!k.greedy)] weights: Option<In<F32>>,
    #[when(!k.greedy)] bins: Option<In<U32>>,
    #[when(!k.greedy)] sums: Option<In<U32>>,
    tokens: Out<U32>,
    a: Args<SampleArgs>,
) {
    let draw = Draws { table: draws, row: group(0) };
    let best = best::of_blocks(parts, draw.row, div_ceil(a.vocab, BLOCK));
    let mut token = best.or_failed();
    if let (Some(weights), Some(bins), Some(sums)) = (weights, bins, sums) {
        if draw.is_random() & !best.failed() {
            let row = Row { draw, weights, bins, sums, vocab: a.vocab };
            token = choose(row);
        }
    }
    if thread() == 0 {
        tokens.set(draw.row, token);
    }
}
