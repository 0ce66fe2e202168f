//! How a token is drawn from logits.

/// Sampling settings of one sequence.
///
/// Applied in this order: bias and penalties (repetition, presence, frequency), temperature, top-k,
/// top-p (keeps the crossing token), min-p, draw.
#[derive(Debug, Clone, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the largest, ties to the lowest id.
    pub temperature: f32,
    /// Keeps the `k` most likely tokens, ties to the lowest id; 0 keeps all.
    pub top_k: u32,
    /// Keeps the fewest most likely tokens whose probabilities reach this sum; 1 keeps all.
    pub top_p: f32,
    /// Drops tokens less likely than this fraction of the most likely; 0 drops none.
    pub min_p: f32,
    /// Divides positive and multiplies negative logits of tokens that occur in the prompt or the
    /// answer; 1 changes nothing.
    pub repetition_penalty: f32,
    /// Subtracted from logits of tokens that occur in the answer.
    pub presence_penalty: f32,
    /// Subtracted from logits for each occurrence in the answer.
    pub frequency_penalty: f32,
    /// Added to the logits of these tokens.
    pub bias: Vec<(u32, f32)>,
    /// Key of the counter-based generator: a draw depends on (seed, position) alone.
    pub seed: u64,
    /// Report the drawn token's log probability.
    pub logprobs: bool,
    /// Report this many most likely tokens.
    pub top_logprobs: u32,
}

impl Default for Sampling {
    /// Greedy, no penalties.
    fn default() -> Self {
        Self {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            bias: Vec::new(),
            seed: 0,
            logprobs: false,
            top_logprobs: 0,
        }
    }
}

impl Sampling {
    /// Whether any penalty looks at token counts.
    pub fn wants_history(&self) -> bool {
        self.repetition_penalty != 1.0
            || self.presence_penalty != 0.0
            || self.frequency_penalty != 0.0
    }
}
