//! Buffers whose size follows from the graph and the limits alone, known before anything is allocated.

use tessera_graph::{Graph, Limits, Op, Part, Weights};

use crate::{
    exec::OWN_ROWS,
    experts::Needs,
    kernels::{acts::Acts, matmul::Wants},
    lower::limit_of,
};

/// Bytes of what rows of activations are prepared in, and what mixtures of experts need.
pub(crate) struct Buffers {
    /// Of the buffer that threads share.
    pub acts: usize,
    /// Of the buffer of each thread, for rows that it prepares for itself.
    pub own_acts: usize,
    pub mixtures: Needs,
}

impl Buffers {
    /// For a step at its limits.
    pub fn of(graph: &Graph, weights: &Weights, limits: &Limits, precise: bool) -> Self {
        let mut all = Self { acts: 0, own_acts: 0, mixtures: Needs::default() };
        for node in &graph.nodes {
            let Some(x) = node.inputs.first().map(|id| &graph.values[id.index()]) else { continue };
            let rows = limit_of(x.rows, limits);
            let reads_float =
                |part: &Part| Wants::float_of(weights[part.weight].form().codes, precise);
            match &node.op {
                Op::Linear(linear) => {
                    let float = linear.parts.iter().any(reads_float);
                    let bytes = |rows| Acts::bytes(rows, x.width, float);
                    all.acts = all.acts.max(bytes(rows));
                    all.own_acts = all.own_acts.max(bytes(rows.min(OWN_ROWS)));
                }
                Op::Experts(op) => {
                    let parts =
                        op.experts.iter().flat_map(|e| e.gate.iter().chain([&e.up, &e.down]));
                    let float = parts.into_iter().any(reads_float);
                    let width = op.experts.first().map_or(0, |e| weights[e.up.weight].rows);
                    let one = Needs::new(rows, op.k, op.experts.len(), [x.width, width], float);
                    all.acts = all.acts.max(one.acts);
                    all.own_acts = all.own_acts.max(one.own_acts);
                    all.mixtures = all.mixtures.max(one);
                }
                _ => {}
            }
        }
        all
    }
}
