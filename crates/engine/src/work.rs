//! One request as the scheduler sees it: tokens in, tokens out.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use tessera_graph::{Sampled, Sampling, TokenCount};
use tessera_state::SequenceId;

use crate::{FinishReason, Finished, GenerateError, LoadError, Started, Timings, Usage};

/// Names a session within its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionId(pub(crate) u64);

/// Asks a [`Work`] to end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Ends loading that nobody waits for.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        if self.is_set() { Err(LoadError::Cancelled) } else { Ok(()) }
    }
}

/// What becomes of a work's rows and tokens. Called on the scheduler's thread, so nothing here may wait.
pub(crate) trait Sink: Send {
    /// The work has been admitted.
    fn started(&mut self, _started: Started) {}

    /// Logits of the prompt's row at `position`, if [`Work::rows`] asked for them.
    fn logits(&mut self, _position: usize, _logits: &[f32]) {}

    /// A token has been drawn; says whether it ends the work.
    fn token(&mut self, sampled: &Sampled) -> Option<FinishReason>;

    /// The end.
    fn finish(&mut self, finished: Finished);

    /// Another end.
    fn fail(&mut self, error: GenerateError);
}

/// One request as the scheduler sees it.
///
/// There is one path: the tokens that the sequence does not hold yet are run, as many as a step has
/// room for. In the beginning that is the prompt, then the token drawn last; after a preemption it is
/// everything again.
pub(crate) struct Work {
    /// Prompt, then drawn tokens.
    pub(crate) tokens: Vec<u32>,
    /// Tokens of the prompt.
    pub(crate) prompt: usize,
    /// Tokens drawn at most.
    pub(crate) max_tokens: usize,
    pub(crate) sampling: Arc<Sampling>,
    /// Whether the logits of every row of the prompt are wanted.
    pub(crate) rows: bool,
    pub(crate) session: Option<SessionId>,
    pub(crate) cancel: Cancel,
    pub(crate) sink: Box<dyn Sink>,

    /// Order of arrival, set by the scheduler.
    pub(crate) arrival: u64,
    /// Where its keys and values are, while it runs.
    pub(crate) sequence: Option<SequenceId>,
    /// Rows of the prompt whose logits have been handed out.
    pub(crate) rows_done: usize,
    /// To be run in a step of its own, because a step it was part of failed.
    pub(crate) alone: bool,
    /// Ended; the sink knows.
    pub(crate) done: bool,
    pub(crate) counts: Counts,
    pub(crate) clock: Clock,
    pub(crate) cached: usize,
}

/// When things happened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    pub(crate) submitted: Instant,
    pub(crate) admitted: Option<Instant>,
    pub(crate) first: Option<Instant>,
    pub(crate) last: Option<Instant>,
    pub(crate) preemptions: u32,
}

impl Work {
    /// A work that draws at most `max_tokens` after `prompt`. `context` bounds what is kept room for.
    pub(crate) fn new(
        prompt: Vec<u32>,
        max_tokens: usize,
        context: usize,
        sampling: Sampling,
        sink: Box<dyn Sink>,
    ) -> Self {
        let mut tokens = prompt;
        let prompt = tokens.len();
        let most = max_tokens.min(context.saturating_sub(prompt));
        tokens.reserve(most);
        let counts = Counts::new(sampling.wants_history().then_some(&*tokens), most);
        let submitted = Instant::now();
        let clock = Clock { submitted, admitted: None, first: None, last: None, preemptions: 0 };
        Self {
            tokens,
            prompt,
            max_tokens,
            sampling: Arc::new(sampling),
            rows: false,
            session: None,
            cancel: Cancel::default(),
            sink,
            arrival: 0,
            sequence: None,
            rows_done: 0,
            alone: false,
            done: false,
            counts,
            clock,
            cached: 0,
        }
    }

    /// Tokens drawn.
    pub(crate) fn completion(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// Positions of the rows whose logits are wanted when the tokens `held..end` run: every row of the
    /// prompt that has not been handed out, or the last of all tokens.
    pub(crate) fn outputs(&self, held: usize, end: usize) -> Range<usize> {
        if self.rows && self.rows_done < self.prompt {
            return held.max(self.rows_done).min(end)..end;
        }
        end - usize::from(end == self.tokens.len() && end > held)..end
    }

    /// Takes a drawn token; says whether it was the last.
    pub(crate) fn accept(&mut self, sampled: &Sampled, context: usize) -> Option<FinishReason> {
        let now = Instant::now();
        self.clock.first.get_or_insert(now);
        self.clock.last = Some(now);
        self.tokens.push(sampled.token);
        self.counts.add(sampled.token);
        let ended = self.sink.token(sampled);
        let full = || (self.tokens.len() >= context).then_some(FinishReason::Context);
        let long = || (self.completion() >= self.max_tokens).then_some(FinishReason::Length);
        ended.or_else(long).or_else(full)
    }

    /// Tells the sink that the work has ended.
    pub(crate) fn finish(&mut self, reason: FinishReason) {
        self.done = true;
        let usage = Usage {
            prompt_tokens: self.prompt,
            cached_tokens: self.cached,
            completion_tokens: self.completion(),
        };
        self.sink.finish(Finished { reason, usage, timings: self.clock.timings() });
    }

    /// Tells the sink that the work has failed.
    pub(crate) fn fail(&mut self, error: GenerateError) {
        self.done = true;
        self.sink.fail(error);
    }
}

impl Clock {
    fn timings(&self) -> Timings {
        let end = self.last.unwrap_or_else(Instant::now);
        let admitted = self.admitted.unwrap_or(end);
        let first = self.first.unwrap_or(end);
        Timings {
            queued: admitted.saturating_duration_since(self.submitted),
            prefill: first.saturating_duration_since(admitted),
            decode: end.saturating_duration_since(first),
            first_token: first.saturating_duration_since(self.submitted),
            preemptions: self.preemptions,
        }
    }
}

/// How often each token occurs, for penalties; counts nothing unless penalties are wanted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    wanted: bool,
    list: Vec<TokenCount>,
    index: HashMap<u32, u32>,
}

impl Counts {
    /// `prompt` is `None` if counts are not wanted; `more` tokens may follow.
    fn new(prompt: Option<&[u32]>, more: usize) -> Self {
        let Some(prompt) = prompt else { return Self::default() };
        let room = prompt.len() + more;
        let (list, index) = (Vec::with_capacity(room), HashMap::with_capacity(room));
        let mut counts = Self { wanted: true, list, index };
        for &token in prompt {
            counts.entry(token);
        }
        counts
    }

    fn add(&mut self, token: u32) {
        if self.wanted {
            self.entry(token).generated += 1;
        }
    }

    fn entry(&mut self, token: u32) -> &mut TokenCount {
        let next = self.list.len() as u32;
        let index = *self.index.entry(token).or_insert(next);
        if index == next {
            self.list.push(TokenCount { token, generated: 0 });
        }
        &mut self.list[index as usize]
    }

    pub(crate) fn list(&self) -> &[TokenCount] {
        &self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_tell_the_prompt_from_the_answer() {
        let mut counts = Counts::new(Some(&[3, 5, 3]), 4);
        for token in [5, 7, 7] {
            counts.add(token);
        }
        let count = |token, generated| TokenCount { token, generated };
        assert_eq!(counts.list(), [count(3, 0), count(5, 1), count(7, 2)]);
        let mut unwanted = Counts::new(None, 4);
        unwanted.add(5);
        assert!(unwanted.list().is_empty());
    }
}
