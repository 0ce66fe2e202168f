//! Questions a graph answers about itself.

use crate::{Graph, Op, StateId, ValueId};

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
}

impl Op {
    /// What the operation remembers.
    pub fn state(&self) -> Option<StateId> {
        match self {
            Self::Attend(op) => Some(op.state),
            Self::Conv(op) => Some(op.state),
            Self::Scan(op) => Some(op.state),
            Self::Delta(op) => Some(op.state),
            _ => None,
        }
    }
}
