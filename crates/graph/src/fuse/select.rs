//! Computing only the rows whose logits are wanted, as early as possible.

use crate::{Graph, Node, Op, Rows, Value, ValueId};

/// Moves selection of rows up to where rows last meet: after the last attention, all that follows works
/// on each row alone, and most rows of a prompt are not wanted.
pub(super) fn select_early(graph: &mut Graph) {
    let early = early_nodes(graph);
    let mut renamed: Vec<ValueId> = (0..graph.values.len() as u32).map(ValueId).collect();
    let nodes = std::mem::take(&mut graph.nodes);
    let mut rewriter = Rewriter { selected: vec![None; graph.values.len()], graph };
    for (mut node, early) in nodes.into_iter().zip(early) {
        if early {
            for input in &mut node.inputs {
                *input = rewriter.selected(*input, &node.label);
            }
            for output in &node.outputs {
                rewriter.graph.values[output.index()].rows = Rows::Outputs;
                rewriter.selected[output.index()] = Some(*output);
            }
        } else if matches!(node.op, Op::Select) {
            renamed[node.outputs[0].index()] = rewriter.selected(node.inputs[0], &node.label);
            continue;
        }
        for input in node.inputs.iter_mut().filter(|id| id.index() < renamed.len()) {
            *input = renamed[input.index()];
        }
        rewriter.graph.nodes.push(node);
    }
}

/// Whether each row of the result depends on that row of the operands alone, and on nothing else that
/// has rows.
fn row_wise(op: &Op) -> bool {
    matches!(
        op,
        Op::RmsNorm(_)
            | Op::LayerNorm(_)
            | Op::Linear(_)
            | Op::Route(_)
            | Op::Experts(_)
            | Op::Glu(_)
            | Op::Activate(_)
            | Op::Mul
            | Op::Add
            | Op::Scale(_)
            | Op::Softcap(_)
    )
}

/// The nodes whose results are wanted in selected rows only.
fn early_nodes(graph: &Graph) -> Vec<bool> {
    // Values that are used, and of which no use seen so far wants all rows.
    let mut used = vec![false; graph.values.len()];
    let mut few = vec![true; graph.values.len()];
    let mut early = vec![false; graph.nodes.len()];
    for (index, node) in graph.nodes.iter().enumerate().rev() {
        let wanted = |id: &ValueId| {
            used[id.index()] && few[id.index()] && graph.values[id.index()].rows == Rows::Tokens
        };
        early[index] = row_wise(&node.op) && node.outputs.iter().all(wanted);
        let selects = early[index] || matches!(node.op, Op::Select);
        for id in &node.inputs {
            used[id.index()] = true;
            few[id.index()] &= selects;
        }
    }
    early
}

struct Rewriter<'a> {
    graph: &'a mut Graph,
    /// For each value, the one that holds its selected rows, once there is one.
    selected: Vec<Option<ValueId>>,
}

impl Rewriter<'_> {
    /// The value that holds the selected rows of `value`, made now if it is not there yet.
    fn selected(&mut self, value: ValueId, label: &str) -> ValueId {
        *self.selected[value.index()].get_or_insert_with(|| {
            let id = ValueId(self.graph.values.len() as u32);
            let width = self.graph.values[value.index()].width;
            self.graph.values.push(Value { rows: Rows::Outputs, width });
            self.graph.nodes.push(Node {
                op: Op::Select,
                inputs: vec![value],
                outputs: vec![id],
                label: label.into(),
            });
            id
        })
    }
}
