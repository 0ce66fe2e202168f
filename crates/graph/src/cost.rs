//! What an operation moves and computes, for given row counts.

use std::ops::{Add, AddAssign};

use crate::{
    Epilogue, Experts, Graph, KvDecl, KvType, Linear, Node, Op, Part, RmsNorm, Rows, StateDecl,
    StateId, Weights,
};

/// The shape of a step whose cost is asked for: one sequence's `tokens` tokens, after which it is
/// `context` positions long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Tokens of the step.
    pub tokens: usize,
    /// Rows whose logits are wanted.
    pub outputs: usize,
    /// Positions of the sequence, the step's tokens included.
    pub context: usize,
    /// Element type of remembered keys and values.
    pub kv: KvType,
}

/// Bytes moved and operations done, at the least: every operand is read once, every result written once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    /// Bytes of packed weights read.
    pub weights: usize,
    /// Bytes of intermediates read and written.
    pub activations: usize,
    /// Bytes of keys, values and recurrent states read and written.
    pub state: usize,
    /// Additions and multiplications.
    pub flops: usize,
}

impl Cost {
    /// All bytes moved.
    pub fn bytes(&self) -> usize {
        self.weights + self.activations + self.state
    }
}

impl Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            weights: self.weights + other.weights,
            activations: self.activations + other.activations,
            state: self.state + other.state,
            flops: self.flops + other.flops,
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), Add::add)
    }
}

impl Step {
    /// What a symbolic row count is in this step.
    pub fn rows(&self, rows: Rows) -> usize {
        match rows {
            Rows::Tokens => self.tokens,
            Rows::Outputs => self.outputs,
        }
    }

    /// Positions seen by each query of the step, added up, and the positions read at all.
    fn positions(&self, state: &KvDecl) -> (usize, usize) {
        let window = state.window.unwrap_or(usize::MAX);
        let first = self.context.saturating_sub(self.tokens);
        let seen = (first..self.context).map(|position| (position + 1).min(window)).sum();
        (seen, self.context - (first + 1).saturating_sub(window))
    }
}

/// Cost of the whole graph.
pub fn total(graph: &Graph, weights: &Weights, step: &Step) -> Cost {
    graph.nodes.iter().map(|node| cost(graph, weights, node, step)).sum()
}

/// Cost of one operation.
pub fn cost(graph: &Graph, weights: &Weights, node: &Node, step: &Step) -> Cost {
    let elements = |id: &crate::ValueId| {
        let value = &graph.values[id.index()];
        step.rows(value.rows) * value.width
    };
    let read: usize = node.inputs.iter().map(elements).sum();
    let written: usize = node.outputs.iter().map(elements).sum();
    let rows = node.outputs.first().map_or(0, |id| step.rows(graph.values[id.index()].rows));
    let mut cost = Cost { activations: (read + written) * size_of::<f32>(), ..Cost::default() };
    match &node.op {
        Op::Embed { table, .. } => {
            let table = &weights[*table];
            cost.weights = table.bytes() / table.rows.max(1) * rows;
            cost.flops = written;
        }
        Op::RmsNorm(norm) => cost += norm_cost(norm, weights, read),
        Op::LayerNorm(norm) => {
            cost.weights += weights[norm.weight].bytes() + weights[norm.bias].bytes();
            cost.flops += 7 * read;
        }
        Op::Linear(linear) => {
            cost += linear_cost(linear, weights, rows);
            if let Some(norm) = &linear.norm {
                cost += norm_cost(norm, weights, elements(&node.inputs[0]));
            }
        }
        Op::RopeTable(_) => cost.flops = 2 * written,
        Op::Rope { .. } => cost.flops = 3 * written,
        Op::Attend(attend) => {
            if let Some(kv) = graph.states[attend.state.index()].kv() {
                let (seen, read) = step.positions(kv);
                cost.flops = 4 * seen * attend.heads * kv.head_dim;
                cost.state = 2 * (read + rows) * kv.kv_heads * kv.head_dim * step.kv.bytes();
            }
        }
        Op::Conv(conv) => cost += recurrent(graph, conv.state, rows),
        Op::Scan(scan) => cost += recurrent(graph, scan.state, rows),
        Op::Delta(delta) => cost += recurrent(graph, delta.state, rows),
        Op::Route(_) => cost.flops = 4 * read,
        Op::Experts(experts) => cost += experts_cost(experts, weights, rows),
        Op::Activate(_) => cost.flops = 4 * written,
        Op::Glu(_) => cost.flops = 5 * written,
        Op::Add | Op::Mul | Op::Scale(_) => cost.flops = written,
        Op::Softcap(_) => cost.flops = 3 * written,
        Op::Select => cost.activations = 2 * written * size_of::<f32>(),
        Op::Sample => cost.flops = read,
    }
    cost
}

/// One token after the other: the state is read and written once, and each of its elements decays, takes a
/// term and gives one for each token (of the delta rule, twice).
fn recurrent(graph: &Graph, state: StateId, rows: usize) -> Cost {
    let decl = &graph.states[state.index()];
    let elements = decl.slot_len();
    let flops = match decl {
        StateDecl::Conv(conv) => 2 * conv.kernel * conv.channels,
        StateDecl::Delta(_) => 7 * elements,
        _ => 5 * elements,
    };
    let state = 2 * elements * size_of::<f32>();
    Cost { state, flops: flops * rows, ..Cost::default() }
}

/// Weights of as many experts as rows would meet if all were chosen equally often.
fn experts_cost(op: &Experts, weights: &Weights, rows: usize) -> Cost {
    let all = op.experts.len();
    let missed = (1.0 - op.k as f64 / all.max(1) as f64).powi(rows.min(1 << 20) as i32);
    let bytes = |part: &Part| {
        weights[part.weight].bytes() + part.bias.map_or(0, |bias| weights[bias].bytes())
    };
    let elements = |part: &Part| weights[part.weight].rows * weights[part.weight].cols;
    let parts = || op.experts.iter().flat_map(|e| e.gate.iter().chain([&e.up, &e.down]));
    let stored: usize = parts().map(bytes).sum();
    let multiplied: usize = parts().map(elements).sum::<usize>() / all.max(1);
    Cost {
        weights: (stored as f64 * (1.0 - missed)) as usize,
        flops: 2 * rows * op.k * multiplied,
        ..Cost::default()
    }
}

fn linear_cost(linear: &Linear, weights: &Weights, rows: usize) -> Cost {
    let mut cost = Cost::default();
    for part in &linear.parts {
        let matrix = &weights[part.weight];
        cost.weights += matrix.bytes() + part.bias.map_or(0, |id| weights[id].bytes());
        cost.flops += 2 * rows * matrix.rows * matrix.cols;
        cost.flops += match linear.epilogue {
            Epilogue::None => 0,
            Epilogue::Residual => rows * matrix.rows,
            Epilogue::Glu(_) => 5 * rows * matrix.rows / linear.parts.len(),
        };
    }
    cost
}

fn norm_cost(norm: &RmsNorm, weights: &Weights, elements: usize) -> Cost {
    Cost { weights: weights[norm.weight].bytes(), flops: 4 * elements, ..Cost::default() }
}
