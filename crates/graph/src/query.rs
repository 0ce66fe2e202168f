//! Questions a graph answers about itself.

use crate::{Graph, Op, ValueId};

impl Graph {
    /// The value the tokens are drawn from: `[Outputs, vocab]`. `None` for a graph that is not finished.
    pub fn logits(&self) -> Option<ValueId> {
        self.nodes.iter().rev().find(|n| matches!(n.op, Op::Sample)).map(|n| n.inputs[0])
    }

    /// Elements of a row of logits; 0 for a graph that is not finished.
    pub fn vocab(&self) -> usize {
        self.logits().map_or(0, |id| self.values[id.index()].width)
    }

    /// Token ids that can be embedded: `0 .. token_ids()`. The same as [`Graph::vocab`] in most models.
    pub fn token_ids(&self) -> usize {
        let tables = self.nodes.iter().filter_map(|node| match node.op {
            Op::Embed { table, .. } => Some(self.weights[table.index()].shape[0]),
            _ => None,
        });
        tables.min().unwrap_or(0)
    }

    /// The windows of [`Graph::page_groups`], in the same order, without allocating.
    pub fn windows(&self) -> impl Iterator<Item = Option<usize>> {
        let first = |i: usize| !self.states[..i].iter().any(|s| s.window == self.states[i].window);
        (0..self.states.len()).filter(move |&i| first(i)).map(|i| self.states[i].window)
    }
}
