//! What the model sees in a prompt: logits at every position, and the greedy continuation.

use std::collections::HashSet;

use tessera_graph::Sampled;

use crate::{
    FinishReason, Finished, GenerateError,
    logits::{log_sum_exp, top},
    queue::Writer,
    work::Sink,
};

/// What [`Model::inspect_logits`](crate::Model::inspect_logits) finds.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// One for each token given.
    pub positions: Vec<Position>,
    /// The greedy continuation, a stop token included.
    pub continuation: Vec<Continued>,
}

/// The logits after one token.
#[derive(Debug, Clone, PartialEq)]
pub struct Position {
    /// The token.
    pub token: u32,
    /// The largest logits after it, before penalties, descending, ties to the lowest id.
    pub top: Vec<(u32, f32)>,
    /// `ln(sum(exp(logits)))`: a logit minus this is a log probability.
    pub log_sum_exp: f64,
}

/// A token of the greedy continuation.
#[derive(Debug, Clone, PartialEq)]
pub struct Continued {
    /// Its id.
    pub token: u32,
    /// Its natural log probability.
    pub logprob: f32,
    /// By how much its log probability exceeds the second best's: how close the choice was.
    pub margin: f32,
}

/// Collects an [`Inspection`].
pub(crate) struct InspectSink {
    pub(crate) tokens: Vec<u32>,
    pub(crate) top: usize,
    pub(crate) stops: HashSet<u32>,
    pub(crate) found: Inspection,
    pub(crate) answer: Writer<Result<Inspection, GenerateError>>,
}

impl Sink for InspectSink {
    fn logits(&mut self, position: usize, logits: &[f32]) {
        self.found.positions.push(Position {
            token: self.tokens[position],
            top: top(logits, self.top),
            log_sum_exp: log_sum_exp(logits),
        });
    }

    fn token(&mut self, sampled: &Sampled) -> Option<FinishReason> {
        let margin = match sampled.top[..] {
            [(_, best), (_, second), ..] => best - second,
            _ => f32::INFINITY,
        };
        let (token, logprob) = (sampled.token, sampled.logprob);
        self.found.continuation.push(Continued { token, logprob, margin });
        self.stops.contains(&token).then_some(FinishReason::Stop)
    }

    fn finish(&mut self, finished: Finished) {
        if finished.reason != FinishReason::Cancelled {
            let empty = Inspection { positions: Vec::new(), continuation: Vec::new() };
            self.answer.push(Ok(std::mem::replace(&mut self.found, empty)));
        }
    }

    fn fail(&mut self, error: GenerateError) {
        self.answer.push(Err(error));
    }
}
