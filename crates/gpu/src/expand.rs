//! From the fused graph to one whose operations are kernels: what no kernel does in one launch is taken apart again.

use tessera_graph::{Epilogue, Graph, Node, Op, Value, ValueId, Weights, fuse};

use crate::weights;

/// The graph that is lowered: a gate that cannot lie with what it lets through is a product of two parts.
pub fn expand(graph: &Graph, bound: &Weights) -> Graph {
    let mut graph = fuse(graph);
    for mut node in std::mem::take(&mut graph.nodes) {
        match &mut node.op {
            Op::Linear(linear) if !weights::are_one(linear, bound) => part(&mut graph, node),
            _ => graph.nodes.push(node),
        }
    }
    graph
}

fn part(graph: &mut Graph, mut node: Node) {
    let Op::Linear(linear) = &mut node.op else { return graph.nodes.push(node) };
    let Epilogue::Glu(unit) = linear.epilogue else { return graph.nodes.push(node) };
    linear.epilogue = Epilogue::None;
    let (y, label) = (node.outputs[0], node.label.clone());
    let Value { rows, width } = graph.values[y.index()];
    let first = graph.values.len() as u32;
    graph.values.extend([Value { rows, width }, Value { rows, width }]);
    let parts = vec![ValueId(first), ValueId(first + 1)];
    node.outputs.clone_from(&parts);
    graph.nodes.push(node);
    graph.nodes.push(Node { op: Op::Glu(unit), inputs: parts, outputs: vec![y], label });
}
