//! Running a step and handing out its results.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tessera_graph::{BackendError, Output};

use super::{Scheduler, plan::Planned};
use crate::{FinishReason, GenerateError, errors::panic_message, work::Work};

impl Scheduler {
    /// Plans, runs and delivers one step, if there is anything to run.
    pub(super) fn step(&mut self) {
        self.plan();
        if !self.plan.is_empty() {
            match self.build().and_then(|()| self.execute()) {
                Ok(()) => self.deliver(),
                Err(error) => self.blame(error),
            }
        }
        self.settle();
    }

    /// Turns the plan into a batch.
    fn build(&mut self) -> Result<(), GenerateError> {
        let batch = &mut self.runner.batch;
        batch.clear();
        for planned in &mut self.plan {
            let work = &self.running[planned.work];
            let Some(sequence) = work.sequence else { continue };
            let held = self.runner.state.len(sequence)?;
            let end = held + planned.tokens;
            let row = self.runner.state.push_run(sequence, &work.tokens[held..end], batch)?;
            let outputs = work.outputs(held, end);
            planned.outputs = (batch.outputs.len(), outputs.len());
            for position in outputs {
                let drawn = position + 1 == work.tokens.len() && work.max_tokens > 0;
                let start = batch.history.len() as u32;
                if drawn {
                    batch.history.extend_from_slice(work.counts.list());
                }
                batch.outputs.push(Output {
                    row: row + (position - held) as u32,
                    sampling: drawn.then(|| work.sampling.clone()),
                    position: position as u32 + 1,
                    history: (start, batch.history.len() as u32 - start),
                });
            }
        }
        Ok(())
    }

    fn execute(&mut self) -> Result<(), GenerateError> {
        let runner = &mut self.runner;
        runner.exec.step(&runner.batch, &mut runner.sampled)?;
        let (outputs, drawn) = (runner.batch.outputs.len(), runner.sampled.len());
        if outputs != drawn {
            let message = format!("{drawn} results for {outputs} outputs");
            return Err(BackendError::Batch(message).into());
        }
        Ok(())
    }

    /// Commits the step and hands its outputs to their works.
    fn deliver(&mut self) {
        let context = self.runner.state.options().context;
        for &Planned { work, tokens, outputs: (start, len) } in &self.plan {
            let work = &mut self.running[work];
            let Some(sequence) = work.sequence else { continue };
            work.alone = false;
            if let Err(error) = self.runner.state.commit(sequence, tokens) {
                work.fail(error.into());
            }
            for output in start..start + len {
                let Output { position, ref sampling, .. } = self.runner.batch.outputs[output];
                let (position, drawn) = (position as usize - 1, sampling.is_some());
                if work.rows && position < work.prompt {
                    work.rows_done = position + 1;
                    let logits = self.runner.logits(output);
                    guarded(work, |work| work.sink.logits(position, logits));
                }
                if drawn && !work.done {
                    let sampled = &self.runner.sampled[output];
                    if sampled.failed {
                        work.fail(GenerateError::NotFinite { position: position + 1 });
                        continue;
                    }
                    let (token, token_ids) = (sampled.token, self.runner.token_ids);
                    if token as usize >= token_ids {
                        let message = format!("token {token} of {token_ids} was drawn");
                        work.fail(BackendError::Batch(message).into());
                        continue;
                    }
                    guarded(work, |work| {
                        if let Some(reason) = work.accept(sampled, context) {
                            work.finish(reason);
                        }
                    });
                } else if position + 1 == work.tokens.len() && !work.done {
                    guarded(work, |work| work.finish(FinishReason::Length));
                }
            }
        }
    }

    /// A step failed. If it was of one work, that work fails; otherwise each is tried in a step of its
    /// own, so that only those that fail there are lost.
    fn blame(&mut self, error: GenerateError) {
        for planned in &self.plan {
            let work = &mut self.running[planned.work];
            work.alone = true;
            if let Some(sequence) = work.sequence {
                // Keeping nothing of an open sequence cannot fail.
                let _ = self.runner.state.commit(sequence, 0);
            }
        }
        tracing::warn!(%error, works = self.plan.len(), "a step failed");
        if let [planned] = *self.plan {
            self.running[planned.work].fail(error);
        }
    }
}

/// Runs a sink's code; a panic there fails its work alone.
fn guarded(work: &mut Work, call: impl FnOnce(&mut Work)) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| call(work))) {
        work.done = true;
        let message = panic_message(panic);
        tracing::error!(%message, "handling a token panicked");
        let fail = || work.sink.fail(GenerateError::Panicked { message });
        // If that panics as well, the reader sees the stream end.
        let _ = catch_unwind(AssertUnwindSafe(fail));
    }
}
