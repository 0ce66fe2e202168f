//! What a generation tells its reader.

use std::time::Duration;

/// One event of a [`Generation`](crate::Generation).
///
/// In order: one `Started`; for each drawn token a `Token` and then, where it completes any visible text,
/// a `Text`; one `Finished`.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The request has been admitted.
    Started(Started),
    /// A token has been drawn (a stop token too).
    Token(Token),
    /// Text to show. Whole characters, never part of a stop string or of a special token.
    Text(String),
    /// The last event.
    Finished(Finished),
}

/// The request as it was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Started {
    /// Tokens of the prompt, template included.
    pub prompt_tokens: usize,
    /// Those of them that a session still remembered.
    pub cached_tokens: usize,
    /// Seed of the draws: the one asked for or a random one.
    pub seed: u64,
    /// Whether the template has opened `<think>` at the end of the prompt, so that the text begins with
    /// thinking and a `</think>` follows that has no beginning.
    pub thinking: bool,
}

/// A drawn token.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Token {
    /// Its id.
    pub id: u32,
    /// Its natural log probability before penalties and truncation, if asked for.
    pub logprob: Option<f32>,
    /// The most likely tokens with their log probabilities, descending, if asked for.
    pub top: Vec<(u32, f32)>,
}

/// How a generation ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finished {
    /// Why.
    pub reason: FinishReason,
    /// Tokens counted.
    pub usage: Usage,
    /// Time taken.
    pub timings: Timings,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model drew a stop token.
    Stop,
    /// A stop string appeared; it is not part of the text.
    StopString,
    /// `max_tokens` have been drawn.
    Length,
    /// The context is full.
    Context,
    /// [`Generation::cancel`](crate::Generation::cancel) was called.
    Cancelled,
}

impl FinishReason {
    /// One word, as programs like it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::StopString => "stop_string",
            Self::Length => "length",
            Self::Context => "context",
            Self::Cancelled => "cancelled",
        }
    }
}

impl std::fmt::Display for FinishReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Tokens counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens of the prompt, template included.
    pub prompt_tokens: usize,
    /// Those of them that were not computed again.
    pub cached_tokens: usize,
    /// Tokens drawn, a stop token included.
    pub completion_tokens: usize,
}

/// Time taken, from the request to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timings {
    /// Waiting to be admitted.
    pub queued: Duration,
    /// From admission to the first token.
    pub prefill: Duration,
    /// From the first token to the last.
    pub decode: Duration,
    /// From the request to the first token; what a person waits.
    pub first_token: Duration,
    /// How often the sequence had to give its pages to others and be computed again.
    pub preemptions: u32,
}

impl Finished {
    /// Prompt tokens computed in a second; `None` when nothing was.
    pub fn prefill_rate(&self) -> Option<f64> {
        rate(self.usage.prompt_tokens - self.usage.cached_tokens, self.timings.prefill)
    }

    /// Tokens drawn in a second after the first; `None` for fewer than two.
    pub fn decode_rate(&self) -> Option<f64> {
        rate(self.usage.completion_tokens.saturating_sub(1), self.timings.decode)
    }
}

fn rate(tokens: usize, time: Duration) -> Option<f64> {
    (tokens > 0 && !time.is_zero()).then(|| tokens as f64 / time.as_secs_f64())
}

/// A finished generation, collected.
#[derive(Debug, Clone, PartialEq)]
pub struct Completion {
    /// All text.
    pub text: String,
    /// All tokens, a stop token included.
    pub tokens: Vec<Token>,
    /// The request as it was understood.
    pub started: Started,
    /// How it ended.
    pub finished: Finished,
}
