//! From the graph's recurrences to those with addresses.

use tessera_graph::{
    BackendError, ConvDecl, Decay, DeltaDecl, Graph, Node, Op, ScanDecl, StateDecl, StateId,
    WeightId,
};

use super::{Kind, Recurrence};
use crate::{
    blocks::Place,
    kernels::{
        conv::Conv,
        delta::{self, Delta},
        scan::{self, Scan},
    },
    lower::{Lower, unsupported},
};

/// Bytes of scratch memory that each thread needs for the recurrences of `graph`.
pub(crate) fn scratch_bytes(graph: &Graph) -> usize {
    let len = |state: &StateDecl| match state {
        StateDecl::Kv(_) | StateDecl::Conv(_) => 0,
        StateDecl::Scan(decl) => scan::scratch_len(decl),
        StateDecl::Delta(decl) => delta::scratch_len(decl),
    };
    graph.states.iter().map(len).max().unwrap_or(0) * size_of::<f32>()
}

impl Lower<'_> {
    /// A convolution, selective state space or delta rule.
    pub(crate) fn recurrence(&self, node: &Node) -> Result<Recurrence, BackendError> {
        let slot = |i: usize| self.slot(node.inputs[i]);
        let vector =
            |id: Option<WeightId>| id.map_or(Ok(std::ptr::null()), |id| self.loaded.vector(id));
        let rate = |decay: Decay| match decay {
            Decay::Log(id) | Decay::Rate(id) => self.loaded.vector(id),
        };
        let (state, kind) = match &node.op {
            Op::Conv(op) => {
                let StateDecl::Conv(ConvDecl { channels, kernel }) = *self.state(op.state) else {
                    return Err(mismatch(node));
                };
                let weight = self.loaded.vector(op.weight)?;
                let (bias, activation) = (vector(op.bias)?, op.activation);
                let conv = Conv { weight, bias, activation, channels, kernel };
                (op.state, Kind::Conv { conv, x: slot(0)? })
            }
            Op::Scan(op) => {
                let StateDecl::Scan(ScanDecl { heads, head_dim, state }) = *self.state(op.state)
                else {
                    return Err(mismatch(node));
                };
                let scan = Scan {
                    rate: rate(op.decay)?,
                    dt_bias: self.loaded.vector(op.dt_bias)?,
                    skip: vector(op.skip)?,
                    dt_limit: op.dt_limit,
                    heads,
                    groups: op.groups,
                    head_dim,
                    state,
                };
                let (x, dt, b, c) = (slot(0)?, slot(1)?, slot(2)?, slot(3)?);
                (op.state, Kind::Scan { scan, x, dt, b, c })
            }
            Op::Delta(op) => {
                let StateDecl::Delta(DeltaDecl { heads, key_dim, value_dim }) =
                    *self.state(op.state)
                else {
                    return Err(mismatch(node));
                };
                let delta = Delta {
                    rate: rate(op.decay)?,
                    dt_bias: self.loaded.vector(op.dt_bias)?,
                    eps: op.eps,
                    heads,
                    key_heads: op.key_heads,
                    order: op.order,
                    key_dim,
                    value_dim,
                };
                let (q, k, v, a, b) = (slot(0)?, slot(1)?, slot(2)?, slot(3)?, slot(4)?);
                (op.state, Kind::Delta { delta, q, k, v, a, b })
            }
            _ => return Err(mismatch(node)),
        };
        let Place::Slot(offset) = self.places[state.index()] else {
            return Err(mismatch(node));
        };
        Ok(Recurrence { kind, offset, out: self.slot(node.outputs[0])? })
    }

    fn state(&self, id: StateId) -> &StateDecl {
        &self.graph.states[id.index()]
    }
}

/// The builder makes no such graph.
fn mismatch(node: &Node) -> BackendError {
    unsupported(format!("{}: a recurrence whose state is of another kind", node.label))
}
