//! An executable, its state and the vectors of a step: all that is needed to run tokens.

use std::sync::Arc;

use tessera_graph::{Batch, Executable, Graph, Limits, MemoryReport, Output, Sampled, Sampling};
use tessera_state::{Saves, SequenceId, State, StateError};

use crate::GenerateError;

/// An executable, its state and the vectors of a step, which are reused.
pub(crate) struct Runner {
    pub(crate) exec: Box<dyn Executable>,
    pub(crate) state: State,
    pub(crate) limits: Limits,
    pub(crate) batch: Batch,
    pub(crate) sampled: Vec<Sampled>,
    /// Width of the logits.
    pub(crate) vocab: usize,
    /// Whether any state is recurrent.
    pub(crate) recurrent: bool,
    /// Token ids are below this.
    pub(crate) token_ids: usize,
    logits: Vec<f32>,
}

impl Runner {
    pub(crate) fn new(
        exec: Box<dyn Executable>,
        state: State,
        limits: Limits,
        graph: &Graph,
    ) -> Self {
        let (vocab, token_ids) = (graph.vocab(), graph.token_ids());
        let recurrent = graph.is_recurrent();
        let (batch, sampled, logits) = (Batch::default(), Vec::new(), Vec::new());
        Self { exec, state, limits, batch, sampled, vocab, recurrent, token_ids, logits }
    }

    /// Makes room for `tokens` more positions of `sequence`.
    pub(crate) fn reserve(
        &mut self,
        sequence: SequenceId,
        tokens: usize,
        saves: Saves,
    ) -> Result<(), StateError> {
        self.state.reserve(sequence, tokens, saves, &mut *self.exec)
    }

    /// Logits of output row `output` of the last step, before penalties.
    pub(crate) fn logits(&mut self, output: usize) -> &[f32] {
        self.logits.resize(self.vocab, 0.0);
        self.exec.read_logits(output, &mut self.logits);
        &self.logits
    }

    /// Runs tokens (at least one of each sequence) in one step, keeps them and draws a token after the
    /// last of each, which are in [`sampled`](Self::sampled) then.
    pub(crate) fn feed(
        &mut self,
        runs: &[(SequenceId, &[u32])],
        sampling: &Arc<Sampling>,
    ) -> Result<(), GenerateError> {
        for &(sequence, tokens) in runs {
            self.reserve(sequence, tokens.len(), Saves::End)?;
        }
        self.batch.clear();
        for &(sequence, tokens) in runs {
            let row = self.state.push_run(sequence, tokens, &mut self.batch)?;
            let row = row + tokens.len() as u32 - 1;
            let position = (self.state.len(sequence)? + tokens.len()) as u32;
            let sampling = Some(sampling.clone());
            self.batch.outputs.push(Output { row, sampling, position, history: (0, 0) });
        }
        let step = self.exec.step(&self.batch, &mut self.sampled);
        for &(sequence, tokens) in runs {
            self.state.commit(sequence, if step.is_ok() { tokens.len() } else { 0 })?;
        }
        Ok(step?)
    }

    /// What is held now.
    pub(crate) fn memory(&self) -> MemoryReport {
        self.exec.memory()
    }
}
