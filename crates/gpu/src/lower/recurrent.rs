//! Operations that remember a state of fixed size.

use tessera_graph::{BackendError, Conv, Node, StateDecl};
use tessera_kernels::conv;

use super::{Lower, unsupported};
use crate::stream::Shape;

/// Rows of a run that a thread convolves.
const CONV_ROWS: u32 = 16;

impl Lower<'_> {
    pub(super) fn conv(&mut self, node: &Node, op: &Conv) -> Result<(), BackendError> {
        let StateDecl::Conv(decl) = &self.graph.states[op.state.index()] else {
            return Err(unsupported(&node.label, "a convolution over a state of another kind"));
        };
        let (kernel, channels) = (decl.kernel as u32, decl.channels as u32);
        let (x, y) = (node.inputs[0], node.outputs[0]);
        let weight = self.vector(op.weight);
        let mut bindings = vec![self.tables.runs, self.tables.saves, self.value(x), weight];
        if let Some(bias) = op.bias {
            let bias = self.vector(bias);
            bindings.push(bias);
        }
        bindings.extend([self.state(op.state), self.value(y)]);
        let bias = op.bias.is_some();
        let rows = CONV_ROWS.max(kernel - 1);
        let kernel = conv::Conv { kernel, bias, activation: op.activation, rows, threads: 64 };
        let args = move |shape: &Shape| conv::ConvArgs {
            channels,
            runs: shape.runs,
            longest: shape.longest,
        };
        self.launch(&node.label, self.rows(y), kernel, bindings, args)
    }
}
