//! The first look at logits: what they are after bias and penalties, and the likeliest token of each block.
//!
//! Version 1: four logits a thread; adjusted in shared memory.

use tessera_tile::prelude::*;

use super::{
    BLOCK, Block, SampleArgs,
    adjust::{add_biases, is_allowed, penalise},
    best::{Best, INFINITE, Search, rank},
    bins::BINS,
};

/// Adjusts logits, finds the likeliest token of each block, and clears the histograms of [`weigh`](super::weigh).
///
/// `logits` is `[rows, vocab]`; `adjusted` is `[draws, vocab]`, minus infinity where the mask forbids; `parts` is
/// `[draws, blocks, 2]`, a rank and an id; `bins` is `[draws, BINS, 2]`.
///
/// `biases` and `history` are pairs, counted as such by `draws`; a row's tokens differ within each. `masks` has
/// `vocab / 32` words for each mask, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Survey {
    /// Whether any row has a bias, a history or a mask.
    pub adjust: bool,
    /// Whether every row takes the largest.
    pub greedy: bool,
    /// Threads for a block: a power of two, 32 to 1024.
    pub threads: u32,
}

impl Spec for Survey {
    type Args = SampleArgs;

    fn threads(&self) -> u32 {
        self.threads
    }

    fn grid(&self, a: &SampleArgs) -> [u32; 3] {
        [a.blocks(), a.draws, 1]
    }

    fn check(&self, a: &SampleArgs) -> Result<(), String> {
        super::check(self.threads, a.vocab)
    }
}

#[kernel]
fn survey(
    k: &Survey,
    draws: In<U32>,
    logits: In<F32>,
    #[when(k.adjust)] biases: Option<In<U32>>,
    #[when(k.adjust)] history: Option<In<U32>>,
    #[when(k.adjust)] masks: Option<In<U32>>,
    #[when(k.adjust)] adjusted: Option<Out<F32>>,
    parts: Out<U32>,
    #[when(!k.greedy)] bins: Option<Out<U32>>,
    a: Args<SampleArgs>,
) {
    let (block, row) = (group(0), group(1));
    let Block { draw, first, len, mine, from } = Block::new(draws, a.vocab);
    let values: Vec<_> = mine.iter().map(|&i| logits.at(from + min(i, len - 1))).collect();
    let best = Search::new();
    if let (Some(biases), Some(history), Some(masks), Some(adjusted)) =
        (biases, history, masks, adjusted)
    {
        let near = shared::<F32>("near", BLOCK);
        for (&i, &x) in mine.iter().zip(&values) {
            near.set(i, x);
        }
        barrier();
        add_biases(draw, biases, near, first, len);
        barrier();
        penalise(draw, history, near, first, len);
        barrier();
        for &i in &mine {
            let x = near.at(i);
            let allowed = is_allowed(draw, masks, first + min(i, len - 1));
            let order = rank(x);
            // what is broken stays so under a mask
            let order = select(allowed | (order >= INFINITE), order, 0);
            if i < len {
                adjusted.set(row * a.vocab + first + i, select(allowed, x, f32::NEG_INFINITY));
                best.see(Best { rank: order, token: first + i });
            }
        }
    } else {
        for (&i, &x) in mine.iter().zip(&values) {
            if i < len {
                best.see(Best { rank: rank(x), token: first + i });
            }
        }
    }
    let best = best.of_group();
    if thread() == 0 {
        parts.store::<2>((row * div_ceil(a.vocab, BLOCK) + block) * 2, [best.rank, best.token]);
    }
    if let Some(bins) = bins {
        if block == 0 {
            for i in (thread()..BINS.get()).step_by(threads()) {
                bins.store::<2>((row * BINS + i) * 2, [0, 0]);
            }
        }
    }
}
