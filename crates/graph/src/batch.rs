//! One step's work: a ragged set of token runs.
//!
//! A prefill chunk, a decode step, and any mix of them over many sequences differ only in shape.

use std::sync::Arc;

use crate::Sampling;

/// Positions in a page.
pub const PAGE: usize = 64;

/// A page-table entry whose page is not (or no longer) needed.
pub const NO_PAGE: u32 = u32::MAX;

/// In place of the slot of a sequence that has remembered nothing yet.
pub const NO_SLOT: u32 = u32::MAX;

/// Positions at multiples of which long runs of a recurrence are cut for its chunked form. Chunks lie at absolute
/// positions, so that how a prompt is divided into steps matters as little as it can: only tokens of
/// chunks that a step, or a save within it, cuts in two are computed one by one.
pub const CHUNK: usize = 64;

/// A ragged batch. The vectors are reused from step to step, so building one allocates nothing
/// once warm.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Token ids, run after run: `[tokens]`.
    pub tokens: Vec<u32>,
    /// Runs, in the order of their rows; they cover `tokens` exactly.
    pub runs: Vec<Run>,
    /// Rows whose logits are wanted, in increasing order of `row`: `[outputs]`.
    pub outputs: Vec<Output>,
    /// Page tables, concatenated: see [`Run::tables`].
    pub pages: Vec<u32>,
    /// `(start, len)` into `pages`, one for each (run, page group).
    pub tables: Vec<(u32, u32)>,
    /// Where recurrent states are saved, concatenated: see [`Run::saves`].
    pub saves: Vec<Save>,
    /// Token counts for penalties, concatenated: see [`Output::history`].
    pub history: Vec<TokenCount>,
}

/// Consecutive tokens of one sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First row of the run in the batch.
    pub row: u32,
    /// Number of rows.
    pub len: u32,
    /// Absolute position of the first row's token in its sequence.
    pub position: u32,
    /// Index in [`Batch::tables`] of the run's first page group's table; the others follow.
    /// A table's entry `i` is the page that holds positions `i * PAGE ..`, for every position up to
    /// the run's last; entries that no query of this run can see are [`NO_PAGE`].
    pub tables: u32,
    /// Slot with the recurrent states after the tokens before `position`; [`NO_SLOT`] at position 0, and
    /// for graphs that have none.
    pub slot: u32,
    /// `(start, len)` into [`Batch::saves`]: in increasing order of `after`, the last being the end of the
    /// run; empty for graphs without recurrent states. Only the last may be `slot` itself.
    pub saves: (u32, u32),
}

/// A slot that takes the recurrent states of a sequence as they are within a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Save {
    /// After this many of the run's tokens, at least one.
    pub after: u32,
    /// The slot.
    pub slot: u32,
}

/// A row whose logits are wanted.
#[derive(Debug, Clone)]
pub struct Output {
    /// Row of the batch.
    pub row: u32,
    /// How to draw a token; `None` computes logits only.
    pub sampling: Option<Arc<Sampling>>,
    /// Counter of the random draw: the position the drawn token will have.
    pub position: u32,
    /// `(start, len)` into [`Batch::history`].
    pub history: (u32, u32),
}

/// How often a token has occurred in a sequence, for penalties.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenCount {
    /// Token id.
    pub token: u32,
    /// Occurrences among generated tokens (0 when it occurs in the prompt only).
    pub generated: u32,
}

/// A drawn token.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sampled {
    /// Token id.
    pub token: u32,
    /// Natural log probability of `token` under the unmodified logits; 0 unless asked for.
    pub logprob: f32,
    /// The most likely tokens with their log probabilities, descending, ties to the lowest id;
    /// as many as [`Sampling::top_logprobs`] asks for.
    pub top: Vec<(u32, f32)>,
    /// The logits were not finite: nothing was drawn, and the sequence (alone) must end.
    pub failed: bool,
}

impl Batch {
    /// Empties the batch, keeping its capacity.
    pub fn clear(&mut self) {
        self.tokens.clear();
        self.runs.clear();
        self.outputs.clear();
        self.pages.clear();
        self.tables.clear();
        self.saves.clear();
        self.history.clear();
    }

    /// Page table of `run` for page group `group`.
    pub fn table(&self, run: &Run, group: usize) -> &[u32] {
        let (start, len) = self.tables[run.tables as usize + group];
        &self.pages[start as usize..(start + len) as usize]
    }

    /// Where the recurrent states of `run` are saved.
    pub fn saves(&self, run: &Run) -> &[Save] {
        let (start, len) = run.saves;
        &self.saves[start as usize..(start + len) as usize]
    }

    /// Token counts of an output.
    pub fn history(&self, output: &Output) -> &[TokenCount] {
        let (start, len) = output.history;
        &self.history[start as usize..(start + len) as usize]
    }
}
