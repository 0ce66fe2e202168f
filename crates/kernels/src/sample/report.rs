//! Log probabilities, of the logits as they were.
//!
//! Version 1: one threadgroup a row, which reads the logits twice, and six more times for the most likely tokens.

use tessera_tile::prelude::*;

use super::{
    Draws, best,
    best::{Best, rank, unrank},
    bins::Bins,
    search::{Kept, Search},
    weigh::weigh_one,
    wide::{Sum, Wide, group_sum},
};
use crate::tables::{FAILED, draw as words};

/// Most likely tokens at most.
pub const MAX_TOP: u32 = 1024;

/// Tells the log probability of each drawn token, and the most likely tokens.
///
/// `logits` is `[rows, vocab]`; `tokens` is what [`draw`](super::draw) made. `logprobs` is `[draws]`, 0 where it is not asked for.
/// `top` is `[draws, top, 2]`: ids and the bits of log probabilities, the likeliest first, ties to the lowest id; as many
/// pairs as the row asks for, but no more than `top` or the vocabulary; what is behind them is left alone. Of a row that has failed nothing is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Report {
    /// Whether any row asks for most likely tokens.
    pub top: bool,
    /// Threads for a row: a power of two, 32 to 1024.
    pub threads: u32,
}

/// Scalars of [`Report`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct ReportArgs {
    /// Logits of a row.
    pub vocab: u32,
    /// Rows of `draws`.
    pub draws: u32,
    /// Pairs of a row of `top`.
    pub top: u32,
}

impl Spec for Report {
    type Args = ReportArgs;

    fn threads(&self) -> u32 {
        self.threads
    }

    fn grid(&self, a: &ReportArgs) -> [u32; 3] {
        [a.draws, 1, 1]
    }

    fn check(&self, a: &ReportArgs) -> Result<(), String> {
        super::check(self.threads, a.vocab)?;
        match a.top {
            0..=MAX_TOP => Ok(()),
            top => Err(format!("{top} most likely tokens, at most {MAX_TOP}")),
        }
    }
}

#[kernel]
#[allow(unused_variables)] // the specialisation tells only which buffers there are
fn report(
    k: &Report,
    draws: In<U32>,
    logits: In<F32>,
    tokens: In<U32>,
    logprobs: Out<F32>,
    #[when(k.top)] top: Option<Out<U32>>,
    a: Args<ReportArgs>,
) {
    let draw = Draws { table: draws, row: group(0) };
    let token = tokens.at(draw.row);
    let asks = draw.word(words::LOGPROB) | draw.word(words::TOP);
    let mut logprob = 0.0;
    if (asks != 0) & (token != FAILED) {
        let row = Row { logits, from: draw.word(words::ROW) * a.vocab, vocab: a.vocab };
        let scale = row.scale();
        let x = logits.at(row.from + token);
        logprob = select(draw.word(words::LOGPROB) == 0, 0.0, scale.logprob(x));
        if let Some(top) = top {
            let wanted = min(draw.word(words::TOP), min(a.top, a.vocab));
            if wanted > 0 {
                row.most_likely(wanted, scale, top, draw.row * a.top);
            }
        }
    }
    if thread() == 0 {
        logprobs.set(draw.row, logprob);
    }
}

/// A row of logits.
#[derive(Clone, Copy)]
struct Row {
    logits: In<F32>,
    from: Val<u32>,
    vocab: Val<u32>,
}

/// What makes a logit a log probability.
#[derive(Clone, Copy)]
struct Scale {
    largest: Val<f32>,
    log_sum: Val<f32>,
}

impl Scale {
    fn logprob(self, logit: Val<f32>) -> Val<f32> {
        logit - self.largest - self.log_sum
    }
}

impl Row {
    /// The largest logit, and the logarithm of the sum.
    #[device]
    fn scale(self) -> Scale {
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
    fn most_likely(self, wanted: Val<u32>, scale: Scale, top: Out<U32>, to: Val<u32>) {
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
