//! From the fused graph to one whose operations are kernels: what no kernel does in one launch is taken apart again.

use tessera_graph::{Epilogue, Graph, Linear, Node, Op, Value, ValueId, fuse};

/// The graph that is lowered: rows selected early, residuals in products; norms and gated units by themselves.
pub fn expand(graph: &Graph) -> Graph {
    let mut graph = fuse(graph);
    for node in std::mem::take(&mut graph.nodes) {
        match node.op.clone() {
            Op::Linear(linear) => expand_linear(&mut graph, node, linear),
            _ => graph.nodes.push(node),
        }
    }
    graph
}

fn value(graph: &mut Graph, like: ValueId, width: usize) -> ValueId {
    let rows = graph.values[like.index()].rows;
    graph.values.push(Value { rows, width });
    ValueId(graph.values.len() as u32 - 1)
}

fn expand_linear(graph: &mut Graph, mut node: Node, mut linear: Linear) {
    if let Some(norm) = linear.norm.take() {
        let x = node.inputs[0];
        let normed = value(graph, x, graph.values[x.index()].width);
        let label = node.label.clone();
        let op = Op::RmsNorm(norm);
        graph.nodes.push(Node { op, inputs: vec![x], outputs: vec![normed], label });
        node.inputs[0] = normed;
    }
    let Epilogue::Glu(unit) = linear.epilogue else {
        node.op = Op::Linear(linear);
        return graph.nodes.push(node);
    };
    linear.epilogue = Epilogue::None;
    let y = node.outputs[0];
    let width = graph.values[y.index()].width;
    let parts = vec![value(graph, y, width), value(graph, y, width)];
    let label = node.label.clone();
    node.op = Op::Linear(linear);
    node.outputs.clone_from(&parts);
    graph.nodes.push(node);
    graph.nodes.push(Node { op: Op::Glu(unit), inputs: parts, outputs: vec![y], label });
}
