//! One row's draw: what top-k keeps, of that what top-p keeps, of that one token.

use tessera_tile::prelude::*;

use super::{
    BLOCK, Draws, WEIGHT_BITS,
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

/// A row and what is known of it.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub draw: Draws,
    pub weights: In<F32>,
    pub bins: In<U32>,
    pub sums: In<U32>,
    pub vocab: Val<u32>,
}

/// Draws.
#[device]
pub(super) fn choose(row: Row) -> Val<u32> {
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
