//! The tokens of a row that are looked at: all of them, or a list.

use tessera_tile::prelude::*;

use super::{
    bins::{BINS, Bins, DIGIT},
    search::{Kept, Search},
    wide::Wide,
};

/// Tokens in a list at most.
const LIST: u32 = 2048;
/// Loads at once.
const AHEAD: u32 = 4;

/// Tokens with their weights.
#[derive(Clone, Copy)]
pub struct Items {
    weights: In<F32>,
    /// First of the row's weights.
    from: Val<u32>,
    vocab: Val<u32>,
    listed: Var<bool>,
    len: Var<u32>,
    /// In the list, in any order.
    ids: Shared<U32>,
    scores: Shared<U32>,
    counter: Shared<U32>,
}

impl Items {
    /// All tokens of a row.
    #[device]
    pub fn new(weights: In<F32>, row: Val<u32>, vocab: Val<u32>) -> Self {
        let mut listed = val(false);
        let mut len = vocab;
        Self {
            weights,
            from: row * vocab,
            vocab,
            listed,
            len,
            ids: shared::<U32>("list_ids", LIST),
            scores: shared::<U32>("list_scores", LIST),
            counter: shared::<U32>("list_len", 1),
        }
    }

    /// Makes a list of the tokens whose scores are at least `least`, unless there is one or they are too many.
    #[device]
    pub fn list(self, least: Val<u32>) {
        if !self.listed.get() {
            if thread() == 0 {
                self.counter.set(0, 0);
            }
            barrier();
            let step = LANES * AHEAD;
            for base in (simdgroup() * step..self.vocab).step_by(threads() * AHEAD) {
                let ids: Vec<_> = (0..AHEAD).map(|i| base + i * LANES + lane()).collect();
                let scores: Vec<_> = ids.iter().map(|&id| self.score(id)).collect();
                for (&id, &score) in ids.iter().zip(&scores) {
                    self.append((id < self.vocab) & (score >= least), id, score);
                }
            }
            barrier();
            let len = self.counter.at(0);
            if len <= LIST {
                self.listed = val(true);
                self.len = len;
            }
        }
    }

    /// A weight's bits; of the last token for those beyond.
    fn score(self, id: Val<u32>) -> Val<u32> {
        self.weights.at(self.from + min(id, self.vocab - 1)).bits()
    }

    /// Puts tokens at the end of the list. All lanes of the simdgroup come here.
    #[device]
    fn append(self, takes: Val<bool>, id: Val<u32>, score: Val<u32>) {
        let who = ballot(takes);
        if who != 0 {
            let mut start = 0u32;
            if lane() == 0 {
                start = atomic_add(self.counter, 0, popcount(who));
            }
            let before = popcount(who & ((1u32.get() << lane()) - 1));
            let at = shuffle(start, 0) + before;
            if takes & (at < LIST) {
                self.ids.set(at, id);
                self.scores.set(at, score);
            }
        }
    }

    /// Adds to a histogram the tokens that are kept, have at least the score `floor`, and share what is known of
    /// the search's last: their number, or their weight.
    #[device]
    pub fn count(
        self,
        bins: Bins,
        search: Search,
        pass: Val<u32>,
        by_count: Val<bool>,
        floor: Val<u32>,
        kept: Kept,
    ) {
        // in the last pass the others cannot be what is looked for
        let near = (pass + 1 == search.passes()) & !self.listed.get();
        let start = select(near, search.id() >> DIGIT << DIGIT, 0);
        let end = select(near, min(start + BINS, self.vocab), self.len);
        for base in (start + simdgroup() * LANES..end).step_by(threads()) {
            let at = min(base + lane(), end - 1);
            let mut id = at;
            let mut score = 0u32;
            if self.listed.get() {
                id = self.ids.at(at);
                score = self.scores.at(at);
            } else {
                score = self.score(at);
            }
            let (shares, digit) = search.digit(pass, score.get(), id.get());
            let counts = (base + lane() < end)
                & (score >= floor)
                & shares
                & kept.holds(score.get(), id.get());
            let weight = Wide::weight(score.as_float());
            bins.add(counts, digit, Wide::select(by_count, Wide::of(1u32), weight));
        }
    }
}
