//! Weights of tokens, and the sums over blocks that a draw begins with.
//!
//! Version 1: four weights a thread; the histogram in shared memory, then added to that of the row.

use tessera_tile::prelude::*;

use super::{
    BLOCK, Block, SampleArgs, WEIGHT_BITS, best,
    best::unrank,
    bins::{BINS, Bins, DIGIT},
    wide::{Wide, atomic_add_wide, group_sum},
};
use crate::tables::draw as words;

/// `weights = exp((logit - max) / temperature)`, for the rows that draw at random.
///
/// `parts` is what [`survey`](super::survey) made; `logits` is `[rows, vocab]`. `weights` is `[draws, vocab]`; with `adjusted` it
/// holds adjusted logits, which are replaced. `bins` is `[draws, BINS, 2]`, zeros at first: the histogram by the upper digit
/// of weights, of counts if the row has a top-k, else of weights if it has a top-p. `sums` is `[draws, blocks, 2]`. Pairs are the lower and upper
/// half of a [`Wide`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Weigh {
    /// Whether `weights` holds adjusted logits.
    pub adjusted: bool,
    /// Threads for a block: a power of two, 32 to 1024.
    pub threads: u32,
}

impl Spec for Weigh {
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
fn weigh(
    k: &Weigh,
    draws: In<U32>,
    parts: In<U32>,
    #[when(!k.adjusted)] logits: Option<In<F32>>,
    weights: InOut<F32>,
    bins: InOut<U32>,
    sums: Out<U32>,
    a: Args<SampleArgs>,
) {
    let (block, row) = (group(0), group(1));
    let Block { draw, first, len, mine, from } = Block::new(draws, a.vocab);
    let blocks = div_ceil(a.vocab, BLOCK);
    let best = best::of_blocks(parts, row, blocks);
    if draw.is_random() & !best.failed() {
        let histogram = Bins::new();
        barrier();
        let (largest, temperature) = (unrank(best.rank), draw.float(words::TEMPERATURE));
        let by_count = draw.has_top_k(a.vocab);
        let wanted = by_count | draw.has_top_p();
        let to = row * a.vocab + first;
        let values: Vec<_> = mine
            .iter()
            .map(|&i| {
                let mut x = f32::NEG_INFINITY;
                if i < len {
                    x = logits.map_or_else(|| weights.at(to + i), |logits| logits.at(from + i));
                }
                x.get()
            })
            .collect();
        let measures = mine.iter().zip(&values).map(|(&i, &x)| {
            let weight = weigh_one(x, largest, temperature);
            let measure = Wide::weight(weight);
            if i < len {
                weights.set(to + i, weight);
            }
            if wanted {
                let score = weight.bits();
                let counted = Wide::select(by_count, Wide::of(1u32), measure);
                histogram.add(score > 0, score >> (WEIGHT_BITS - DIGIT), counted);
            }
            measure
        });
        let sum = measures.reduce(Wide::plus).expect("a thread has tokens");
        let sum = group_sum(["sums_low", "sums_high"], sum);
        if thread() == 0 {
            sums.store::<2>((row * blocks + block) * 2, [sum.low, sum.high]);
        }
        if wanted {
            for digit in (thread()..BINS.get()).step_by(threads()) {
                let here = histogram.at(digit);
                if !here.is_zero() {
                    let at = (row * BINS + digit) * 2;
                    atomic_add_wide((bins, at), (bins, at + 1), here);
                }
            }
        }
    }
}

/// A token's weight.
#[device]
pub fn weigh_one(logit: Val<f32>, largest: Val<f32>, temperature: Val<f32>) -> Val<f32> {
    // minus infinity by its bits: a device need not know of infinities in arithmetic
    let possible = logit.bits() != f32::NEG_INFINITY.to_bits();
    let far = (select(possible, logit, largest) - largest) / temperature;
    select(possible, exp(far), 0.0)
}
