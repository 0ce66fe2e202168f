//! What the next step runs.

use tessera_graph::CHUNK;
use tessera_state::{Saves, StateError};

use super::Scheduler;
use crate::GenerateError;

/// Part of the next step; pages for it are reserved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Planned {
    /// Index among the running.
    pub(super) work: usize,
    /// Tokens to run.
    pub(super) tokens: usize,
    /// `(start, len)` in the batch's outputs, once there is a batch.
    pub(super) outputs: (usize, usize),
}

impl Scheduler {
    /// Plans the next step: everyone's next token first, then prompts in the room that is left, oldest
    /// first. Works that find no pages are preempted, or fail if nothing else could make room.
    pub(super) fn plan(&mut self) {
        self.plan.clear();
        if let Some(alone) = self.running.iter().position(|work| work.alone) {
            let (tokens, _) =
                self.chunk(alone, self.runner.limits.tokens, self.runner.limits.outputs);
            self.plan_one(alone, tokens);
            return;
        }
        let mut room = self.runner.limits.tokens;
        let mut outputs = self.runner.limits.outputs;
        for decoding in [true, false] {
            for work in 0..self.running.len() {
                if (self.pending(work) == 1) != decoding || self.running[work].sequence.is_none() {
                    continue;
                }
                let (tokens, wanted) = self.chunk(work, room, outputs);
                if tokens > 0 && self.plan_one(work, tokens) {
                    room -= tokens;
                    outputs -= wanted;
                }
            }
        }
    }

    /// Tokens of a work that its sequence does not hold yet.
    fn pending(&self, work: usize) -> usize {
        let work = &self.running[work];
        let held = work.sequence.map_or(0, |id| self.runner.state.len(id).unwrap_or(0));
        work.tokens.len().saturating_sub(held)
    }

    /// How many of a work's tokens can run in a step with this much room, and how many outputs that
    /// makes.
    fn chunk(&self, work: usize, room: usize, outputs: usize) -> (usize, usize) {
        let pending = self.pending(work);
        let work = &self.running[work];
        let held = work.tokens.len() - pending;
        let mut end = held + pending.min(room);
        if pending > room && self.runner.recurrent {
            end = self.edge(held, end);
        }
        let wanted = work.outputs(held, end);
        // Outputs are the last rows of a chunk: without room for them all, it ends earlier.
        end -= wanted.len().saturating_sub(outputs);
        (end - held, work.outputs(held, end).len())
    }

    /// Where a prompt that has to be cut between `held` and `end` is cut: where recurrences are, so that its bits
    /// do not depend on what else runs. Without such a place it waits for a step with more room, if ever
    /// there is one.
    fn edge(&self, held: usize, end: usize) -> usize {
        let limits = &self.runner.limits;
        match end / CHUNK * CHUNK {
            edge if edge > held => edge,
            _ if limits.tokens >= CHUNK + limits.runs => held,
            _ => end,
        }
    }

    /// Adds `tokens` of a work to the plan, making room by giving up idle sessions and, in the end, the
    /// newest of the other works; says whether it worked.
    fn plan_one(&mut self, work: usize, tokens: usize) -> bool {
        let Some(sequence) = self.running[work].sequence else { return false };
        // Another answer may start from within a prompt, or from its end.
        let saves = if tokens > 1 { Saves::Checkpoint } else { Saves::End };
        loop {
            let error = match self.runner.reserve(sequence, tokens, saves) {
                Ok(()) => {
                    self.plan.push(Planned { work, tokens, outputs: (0, 0) });
                    return true;
                }
                Err(error) => error,
            };
            let full = matches!(error, StateError::OverBudget(_) | StateError::Backend(_));
            if full && self.sessions.evict(&mut self.runner.state) {
                continue;
            }
            let runs = |other: &usize| self.running[*other].sequence.is_some();
            match (0..self.running.len()).rev().find(runs).filter(|_| full) {
                Some(newest) if newest > work => self.preempt(newest),
                // The newest itself makes way for the others ...
                Some(_) if (0..work).any(|other| runs(&other)) => {
                    self.preempt(work);
                    return false;
                }
                // ... and alone it will never fit.
                _ => {
                    self.running[work].fail(GenerateError::from(error));
                    return false;
                }
            }
        }
    }

    /// Takes a work's pages away; it will be computed again.
    fn preempt(&mut self, work: usize) {
        self.plan.retain(|planned| planned.work != work);
        let work = &mut self.running[work];
        if let Some(sequence) = work.sequence.take() {
            tracing::debug!(arrival = work.arrival, tokens = work.tokens.len(), "preempted");
            work.clock.preemptions += 1;
            // Releasing an open sequence cannot fail.
            let _ = self.runner.state.release(sequence);
        }
    }
}
