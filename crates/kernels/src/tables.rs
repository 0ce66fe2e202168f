//! What a step tells kernels about its rows, as words in buffers that the host fills before each step.

/// A row of the buffer `runs`, one for each run of the step: which words say what.
pub mod run {
    /// Words of a row.
    pub const WORDS: u32 = 8;
    /// First row of the run in the step.
    pub const ROW: u32 = 0;
    /// Number of rows.
    pub const LEN: u32 = 1;
    /// Position of the first row's token in its sequence.
    pub const POSITION: u32 = 2;
    /// Slot with the recurrent states before the run; [`NO_SLOT`](super::NO_SLOT) for zeros.
    pub const SLOT: u32 = 3;
    /// First of the run's rows in `saves`.
    pub const SAVES: u32 = 4;
    /// Number of the run's rows in `saves`.
    pub const SAVE_COUNT: u32 = 5;
}

/// A row of the buffer `saves`: where recurrent states go, in increasing order of [`AFTER`](save::AFTER) within a run.
pub mod save {
    /// Words of a row.
    pub const WORDS: u32 = 2;
    /// After so many of the run's tokens.
    pub const AFTER: u32 = 0;
    /// Into this slot.
    pub const SLOT: u32 = 1;
}

/// A row of the buffer `draws`, one for each output row that is sampled: which words say what.
pub mod draw {
    /// Words of a row.
    pub const WORDS: u32 = 16;
    /// f32: divides the logits; 0 takes the largest.
    pub const TEMPERATURE: u32 = 0;
    /// Keeps so many; 0 keeps all.
    pub const TOP_K: u32 = 1;
    /// f32.
    pub const TOP_P: u32 = 2;
    /// f32.
    pub const MIN_P: u32 = 3;
    /// f32.
    pub const REPETITION: u32 = 4;
    /// f32.
    pub const PRESENCE: u32 = 5;
    /// f32.
    pub const FREQUENCY: u32 = 6;
    /// f32 in 0..1: the random draw.
    pub const UNIFORM: u32 = 7;
    /// First of the row's entries in `biases`: pairs of a token and an f32, counted as pairs. Tokens differ within a row.
    pub const BIAS: u32 = 8;
    /// Number of them.
    pub const BIAS_COUNT: u32 = 9;
    /// First of the row's entries in `history`: pairs of a token and how often it was generated, counted as pairs. Tokens
    /// differ within a row.
    pub const HISTORY: u32 = 10;
    /// Number of them.
    pub const HISTORY_COUNT: u32 = 11;
    /// First word of the row's mask in `masks`, a bit a token, set where it is allowed; [`NO_MASK`](super::NO_MASK).
    pub const MASK: u32 = 12;
    /// How many most likely tokens to report.
    pub const TOP: u32 = 13;
    /// Whether to report the drawn token's log probability: 0 or 1.
    pub const LOGPROB: u32 = 14;
    /// The row of logits.
    pub const ROW: u32 = 15;
}

/// In place of a slot: zeros.
pub const NO_SLOT: u32 = u32::MAX;

/// In place of a page: nothing is there that the run's rows could see.
pub const NO_PAGE: u32 = u32::MAX;

/// In place of a mask: everything is allowed.
pub const NO_MASK: u32 = u32::MAX;

/// In place of a token: the logits were not finite.
pub const FAILED: u32 = u32::MAX;

/// Positions in a page of keys and values. A layer's buffer is `[pages, 2, kv_heads, PAGE, head_dim]`, keys first.
pub const PAGE: u32 = 64;
