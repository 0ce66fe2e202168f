//! From waiting to running.

use std::time::Instant;

use tessera_graph::PAGE;
use tessera_state::{SequenceId, StateError};

use super::Scheduler;
use crate::{GenerateError, Started, work::Work};

impl Scheduler {
    /// Admits works in order of arrival while there is room for them.
    pub(super) fn admit(&mut self) {
        while self.running.len() < self.bounds.running
            && let Some(work) = self.waiting.front()
        {
            // Others run: let this one wait until its tokens and some more have room, or the two
            // would take turns in evicting each other. Alone, or with its pages kept, it may try.
            let kept = work.session.is_some_and(|session| self.sessions.remembers(session));
            let positions = work.tokens.len() + PAGE;
            let (step, free) = (self.runner.limits.tokens, self.running.is_empty() || kept);
            while !free && !self.runner.state.fits(positions, step) {
                if !self.sessions.evict(&mut self.runner.state) {
                    return;
                }
            }
            let Some(mut work) = self.waiting.pop_front() else { return };
            match self.open(&work) {
                Ok((sequence, cached)) => {
                    work.sequence = Some(sequence);
                    start(&mut work, cached);
                    let at = self.running.partition_point(|other| other.arrival < work.arrival);
                    self.running.insert(at, work);
                }
                Err(error) => work.fail(GenerateError::from(error)),
            }
        }
    }

    /// The sequence that the work's session kept, or a new one; and how many of the work's tokens it
    /// holds already.
    fn open(&mut self, work: &Work) -> Result<(SequenceId, usize), StateError> {
        let state = &mut self.runner.state;
        if let Some(session) = work.session
            && let Some(resumed) = self.sessions.resume(session, &work.tokens, state)
        {
            return Ok(resumed);
        }
        loop {
            match state.open() {
                Err(StateError::Sequences { .. }) if self.sessions.evict(state) => {}
                opened => return opened.map(|sequence| (sequence, 0)),
            }
        }
    }
}

/// Tells the sink, the first time.
fn start(work: &mut Work, cached: usize) {
    if work.clock.admitted.is_some() {
        return;
    }
    work.clock.admitted = Some(Instant::now());
    work.cached = cached;
    work.sink.started(Started {
        prompt_tokens: work.prompt,
        cached_tokens: cached,
        seed: work.sampling.seed,
        thinking: false, // for those who know the text to say
    });
}
