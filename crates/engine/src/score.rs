//! How likely a text is.

use tessera_graph::Sampled;

use crate::{
    FinishReason, Finished, GenerateError, logits::log_sum_exp, queue::Writer, work::Sink,
};

/// Log probabilities of given tokens.
#[derive(Debug, Clone, PartialEq)]
pub struct Score {
    /// Natural log probability of each scored token after all those before it.
    pub logprobs: Vec<f32>,
}

impl Score {
    /// `exp` of the mean negative log probability; `None` where nothing was scored.
    pub fn perplexity(&self) -> Option<f64> {
        let sum: f64 = self.logprobs.iter().map(|&p| f64::from(p)).sum();
        let n = self.logprobs.len();
        (n > 0).then(|| (-sum / n as f64).exp())
    }
}

/// Looks up each next token in its row of logits.
pub(crate) struct ScoreSink {
    pub(crate) tokens: Vec<u32>,
    pub(crate) logprobs: Vec<f32>,
    pub(crate) answer: Writer<Result<Score, GenerateError>>,
}

impl Sink for ScoreSink {
    fn logits(&mut self, position: usize, logits: &[f32]) {
        if let Some(&next) = self.tokens.get(position + 1) {
            let logit = f64::from(logits[next as usize]);
            self.logprobs.push((logit - log_sum_exp(logits)) as f32);
        }
    }

    fn token(&mut self, _: &Sampled) -> Option<FinishReason> {
        None
    }

    fn finish(&mut self, finished: Finished) {
        if finished.reason != FinishReason::Cancelled {
            let logprobs = std::mem::take(&mut self.logprobs);
            self.answer.push(Ok(Score { logprobs }));
        }
    }

    fn fail(&mut self, error: GenerateError) {
        self.answer.push(Err(error));
    }
}
