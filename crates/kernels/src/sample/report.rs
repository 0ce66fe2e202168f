//! Log probabilities, of the logits as they were.
//!
//! Version 1: one threadgroup a row, which reads the logits twice, and six more times for the most likely tokens.

use tessera_tile::prelude::*;

use super::{Draws, likely::Row};
use crate::{
    check::ensure,
    tables::{FAILED, draw as words},
};

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
        ensure!(a.top <= MAX_TOP, "{} most likely tokens, at most {MAX_TOP}", a.top);
        Ok(())
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
