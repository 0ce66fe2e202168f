//! The token of each row.
//!
//! Version 1: one threadgroup a row. What [`weigh`](super::weigh) counted gives the first digit of the first search; the tokens that
//! may still be kept are then listed in shared memory, and everything else looks at these.

use tessera_tile::prelude::*;

use super::{
    BLOCK, Draws, SampleArgs, WEIGHT_BITS, best,
    bins::{BINS, Bins},
    items::Items,
    search::{Kept, Search},
    wide::{Wide, fraction},
};
use crate::tables::draw as words;

/// What is searched for, in order.
const TOP_K: u32 = 0;
const TOP_P: u32 = 1;
const DRAW: u32 = 2;

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

/// A row and what is known of it.
#[derive(Clone, Copy)]
struct Row {
    draw: Draws,
    weights: In<F32>,
    bins: In<U32>,
    sums: In<U32>,
    vocab: Val<u32>,
}

/// Draws.
#[device]
fn choose(row: Row) -> Val<u32> {
    let (draw, vocab) = (row.draw, row.vocab);
    let bins = Bins::new();
    let items = Items::new(row.weights, draw.row, vocab);
    let search = Search::new(WEIGHT_BITS);
    let kept = Kept::all();
    barrier();
    // no weight of 0 is drawn; the largest is 1, so something is left
    let least = max(min(draw.float(words::MIN_P), 1.0), 0.0).bits();
    // whether all tokens are still there, as `weigh` saw them
    let mut fresh = val(true);
    for stage in TOP_K..val(DRAW + 1) {
        let by_count = stage == TOP_K;
        let is_draw = stage == DRAW;
        let wanted =
            (by_count & draw.has_top_k(vocab)) | ((stage == TOP_P) & draw.has_top_p()) | is_draw;
        if wanted {
            let floor = select(is_draw, max(least, 1), 1);
            if is_draw & (floor > 1) {
                fresh = val(false);
                items.list(floor);
            }
            search.reset();
            let first = select(is_draw, search.score_passes(), 0);
            // whether not all tokens of the last score are kept, so that ids decide
            let mut tied = is_draw;
            for pass in first..search.passes().get() {
                if (pass < search.score_passes()) | tied {
                    let is_first = pass == first;
                    if is_first & fresh {
                        given(row, bins, is_draw);
                    } else {
                        items.count(bins, search, pass, by_count, floor, kept);
                    }
                    barrier();
                    let found = bins
                        .find(|all| Wide::select(is_first, limit(draw, stage, all), search.rest()));
                    search.note(pass, found);
                    // a finer bound if there were too many
                    if pass + 1 < search.score_passes() {
                        items.list(max(search.score(), 1));
                    }
                    if pass + 1 == search.score_passes() {
                        let weight = Wide::weight(search.score().as_float());
                        let one = Wide::select(by_count, Wide::of(1u32), weight);
                        tied = !found.here.below(search.rest().plus(one));
                    }
                }
            }
            kept.down_to(search.score(), tied, search.id());
            fresh = val(false);
        }
    }
    search.id()
}

/// The measure that a search is to reach, `all` being that of all it may keep.
#[device]
fn limit(draw: Draws, stage: Val<u32>, all: Wide) -> Wide {
    let k = draw.word(words::TOP_K);
    let few = (all.high == 0) & (all.low < k);
    let count = Wide::select(few, all, Wide::of(k));
    let share = select(stage == TOP_P, draw.float(words::TOP_P), draw.float(words::UNIFORM));
    let (whole, more) = all.part(fraction(share));
    // top-p reaches its share, and takes one token at least; a draw goes beyond
    let next = (stage == DRAW) | more | whole.is_zero();
    Wide::select(stage == TOP_K, count, whole.plus(Wide::of(next.u32())))
}

/// Takes over what was counted of all tokens: by weight, or of blocks of ids.
#[device]
fn given(row: Row, bins: Bins, of_blocks: Val<bool>) {
    let index = row.draw.row;
    if of_blocks {
        let blocks = div_ceil(row.vocab, BLOCK);
        for i in (thread()..blocks).step_by(threads()) {
            let [low, high] = row.sums.load::<2>((index * blocks + i) * 2);
            bins.set((BINS - 1) - i, Wide { high, low });
        }
    } else {
        for i in (thread()..BINS.get()).step_by(threads()) {
            let [low, high] = row.bins.load::<2>((index * BINS + i) * 2);
            bins.set(i, Wide { high, low });
        }
    }
}
