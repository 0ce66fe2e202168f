//! Log probabilities of a row, and its most likely tokens.

use tessera_tile::prelude::*;

use super::{
    best,
    best::{Best, rank, unrank},
    bins::Bins,
    report::MAX_TOP,
    search::{Kept, Search},
    weigh::weigh_one,
    wide::{Sum, Wide, group_sum},
};

/// A row of logits.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub logits: In<F32>,
    pub from: Val<u32>,
    pub vocab: Val<u32>,
}

/// What makes a logit a log probability.
#[derive(Clone, Copy)]
pub(super) struct Scale {
    largest: Val<f32>,
    log_sum: Val<f32>,
}

impl Scale {
    pub fn logprob(self, logit: Val<f32>) -> Val<f32> {
        logit - self.largest - self.log_sum
    }
}

impl Row {
    /// The largest logit, and the logarithm of the sum.
    #[device]
    pub fn scale(self) -> Scale {
        let best = best::Search::new();
        for token in (thread()..self.vocab).step_by(threads()) {
            best.see(Best { rank: rank(self.logits.at(self.from + token)), token });
        }
        let largest = unrank(best.of_group().rank);
        let sum = Sum::zero();
        for token in (thread()..self.vocab).step_by(threads()) {
            let weight = weigh_one(self.logits.at(self.from + token), largest, 1.0.get());
            sum.add(Wide::weight(weight));
        }
        let sum = group_sum(["sums_low", "sums_high"], sum.get());
        Scale { largest, log_sum: log(sum.f32()) }
    }

    /// Writes the `wanted` most likely tokens to `top`, from pair `to`.
    #[device]
    pub fn most_likely(self, wanted: Val<u32>, scale: Scale, top: Out<U32>, to: Val<u32>) {
        let last = self.last_of(wanted);
        let (ranks, ids, counter) = (
            shared::<U32>("top_ranks", MAX_TOP),
            shared::<U32>("top_ids", MAX_TOP),
            shared::<U32>("top_len", 1),
        );
        if thread() == 0 {
            counter.set(0, 0);
        }
        barrier();
        for token in (thread()..self.vocab).step_by(threads()) {
            let order = rank(self.logits.at(self.from + token));
            if last.holds(order, token) {
                let at = atomic_add(counter, 0, 1);
                ranks.set(at, order);
                ids.set(at, token);
            }
        }
        barrier();
        for i in (thread()..wanted).step_by(threads()) {
            let (order, id) = (ranks.at(i), ids.at(i));
            let mut before = 0u32;
            for j in 0..wanted {
                let (higher, equal) = (ranks.at(j) > order, ranks.at(j) == order);
                before += (higher | (equal & (ids.at(j) < id))).u32();
            }
            let logprob = scale.logprob(self.logits.at(self.from + id));
            top.store::<2>((to + before) * 2, [id, logprob.bits()]);
        }
    }

    /// The tokens down to the `wanted`th.
    #[device]
    fn last_of(self, wanted: Val<u32>) -> Kept {
        let bins = Bins::new();
        let search = Search::new(32);
        barrier();
        for pass in 0..search.passes().get() {
            for base in (simdgroup() * LANES..self.vocab).step_by(threads()) {
                let token = base + lane();
                let order = rank(self.logits.at(self.from + min(token, self.vocab - 1)));
                let (shares, digit) = search.digit(pass, order, token);
                bins.add(shares & (token < self.vocab), digit, Wide::of(1u32));
            }
            barrier();
            let limit = Wide::select(pass == 0, Wide::of(wanted), search.rest());
            search.note(pass, bins.find(|_| limit));
        }
        let last = Kept::all();
        last.down_to(search.score(), true, search.id());
        last
    }
}
