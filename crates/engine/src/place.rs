//! The memory that a model takes, as the backend reckons it.

use tessera_graph::{Backend, Graph, Limits, Weights};
use tessera_state::Group;

use crate::{
    ContextChoice, LoadError, LoadOptions,
    fit::{self, Needs},
};

/// A model that is to be placed; nothing is allocated to find out how.
pub(crate) struct Candidate<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) weights: &'a Weights,
    pub(crate) backend: &'a dyn Backend,
    pub(crate) options: &'a LoadOptions,
    /// Positions the model was made for.
    pub(crate) trained: usize,
}

impl Candidate<'_> {
    /// Upper bounds of a step, compiled for `context` positions.
    pub(crate) fn limits(&self, context: usize) -> Limits {
        let options = self.options;
        Limits {
            tokens: options.prefill_chunk.max(options.max_sequences),
            outputs: options.output_rows.max(options.max_sequences),
            runs: options.max_sequences,
            context,
            kv: options.kv.unwrap_or_else(|| self.backend.kv()),
        }
    }

    /// What the model needs that is compiled for `context` positions.
    pub(crate) fn needs(&self, context: usize) -> Result<Needs, LoadError> {
        let limits = self.limits(context);
        let footprint = self.backend.footprint(self.graph, self.weights, &limits)?;
        let groups = self.graph.groups().into_iter().zip(footprint.blocks);
        Ok(Needs {
            // mapped ones are not allocated, but every step reads them
            weights: footprint.weights.saturating_add(footprint.mapped),
            arena: footprint.arena,
            groups: groups
                .map(|(group, block_bytes)| Group { kind: group.kind, block_bytes })
                .collect(),
            step: limits.tokens,
        })
    }

    /// Chooses the context, or says why there is none.
    pub(crate) fn context(&self, budget: usize) -> Result<ContextChoice, LoadError> {
        fit::fit(&|context| self.needs(context), self.trained, self.options.context, budget)
    }
}
