//! Rewrites that make fewer, larger operations out of what a family wrote. Results stay the same.
//!
//! Only pure operations are merged or moved; what has a state, or is an [`Op::Sample`], never changes its
//! place among the others of its kind. A rewrite edits nodes in place and leaves holes; [`tidy`] then
//! drops what nothing uses.

mod select;

use crate::{Epilogue, GatedUnit, Graph, Linear, Node, Op, Value, ValueId};
use select::select_early;

/// The graph with all rewrites applied:
///
/// * rows are selected as soon as the last attention is done, not only before the logits;
/// * adjacent linears of one input become one linear of several parts (q, k and v; gate and up);
/// * a gated unit over the two parts of a linear becomes its [`Epilogue::Glu`];
/// * the sum of a linear's only use and another value becomes its [`Epilogue::Residual`];
/// * a whole-row norm used by one linear alone moves into it.
///
/// Weights and states keep their ids; values are renumbered, and those nothing uses are gone.
pub fn fuse(graph: &Graph) -> Graph {
    let mut graph = graph.clone();
    tidy(&mut graph);
    for rewrite in [select_early, merge_linears, fuse_glu, fuse_residual, fuse_norm] {
        rewrite(&mut graph);
        tidy(&mut graph);
    }
    graph
}

/// The linear of a node that has neither norm nor epilogue yet.
fn plain(node: &Node) -> Option<&Linear> {
    match &node.op {
        Op::Linear(l) if l.norm.is_none() && l.epilogue == Epilogue::None => Some(l),
        _ => None,
    }
}

/// How often each value is an operand.
fn uses(graph: &Graph) -> Vec<usize> {
    let mut uses = vec![0; graph.values.len()];
    for id in graph.nodes.iter().flat_map(|node| &node.inputs) {
        uses[id.index()] += 1;
    }
    uses
}

/// The node that makes `value`.
fn producer(graph: &Graph, value: ValueId) -> Option<usize> {
    graph.nodes.iter().position(|node| node.outputs.contains(&value))
}

fn merge_linears(graph: &mut Graph) {
    let mut merged: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    for node in graph.nodes.drain(..) {
        if let (Some(next), Some(last)) = (plain(&node), merged.last_mut())
            && plain(last).is_some()
            && last.inputs == node.inputs
            && let Op::Linear(linear) = &mut last.op
        {
            linear.parts.extend(next.parts.iter().cloned());
            last.outputs.extend(node.outputs);
        } else {
            merged.push(node);
        }
    }
    graph.nodes = merged;
}

fn fuse_glu(graph: &mut Graph) {
    let uses = uses(graph);
    for i in 0..graph.nodes.len() {
        let Op::Glu(unit) = graph.nodes[i].op else { continue };
        let [gate, up] = graph.nodes[i].inputs[..] else { continue };
        let Some(at) = producer(graph, gate) else { continue };
        if uses[gate.index()] == 1 && uses[up.index()] == 1 {
            absorb_glu(graph, at, i, unit, [gate, up]);
        }
    }
}

fn absorb_glu(graph: &mut Graph, at: usize, glu: usize, unit: GatedUnit, parts: [ValueId; 2]) {
    let outputs = graph.nodes[glu].outputs.clone();
    let node = &mut graph.nodes[at];
    if plain(node).is_none() {
        return;
    }
    let Op::Linear(linear) = &mut node.op else { return };
    if node.outputs == [parts[1], parts[0]] {
        linear.parts.reverse();
    } else if node.outputs != parts {
        return;
    }
    linear.epilogue = Epilogue::Glu(unit);
    node.outputs = outputs;
    graph.nodes[glu].outputs.clear();
}

/// The linear moves down to the sum: its input is still there, and the other term may be made between.
fn fuse_residual(graph: &mut Graph) {
    let uses = uses(graph);
    for i in 0..graph.nodes.len() {
        if !matches!(graph.nodes[i].op, Op::Add) {
            continue;
        }
        let [a, b] = graph.nodes[i].inputs[..] else { continue };
        // Whichever term was made last is the one that sees the other still warm.
        let mut terms = [(a, b), (b, a)];
        terms.sort_by_key(|&(product, _)| std::cmp::Reverse(producer(graph, product)));
        for (product, residual) in terms {
            let Some(at) = producer(graph, product) else { continue };
            let Some(linear) = plain(&graph.nodes[at]) else { continue };
            if uses[product.index()] != 1 || linear.parts.len() != 1 {
                continue;
            }
            let fused = Linear { epilogue: Epilogue::Residual, ..linear.clone() };
            graph.nodes[i].inputs = vec![graph.nodes[at].inputs[0], residual];
            graph.nodes[i].op = Op::Linear(fused);
            graph.nodes[i].label = graph.nodes[at].label.clone();
            graph.nodes[at].outputs.clear();
            break;
        }
    }
}

fn fuse_norm(graph: &mut Graph) {
    let uses = uses(graph);
    for i in 0..graph.nodes.len() {
        let Op::Linear(Linear { norm: None, .. }) = graph.nodes[i].op else { continue };
        let normed = graph.nodes[i].inputs[0];
        let Some(at) = producer(graph, normed) else { continue };
        let Op::RmsNorm(norm) = &graph.nodes[at].op else { continue };
        if norm.heads != 1 || uses[normed.index()] != 1 {
            continue;
        }
        let (norm, x) = (norm.clone(), graph.nodes[at].inputs[0]);
        if let Op::Linear(linear) = &mut graph.nodes[i].op {
            linear.norm = Some(norm);
        }
        graph.nodes[i].inputs[0] = x;
        graph.nodes[at].outputs.clear();
    }
}

/// Drops nodes whose results nothing uses (those without results, but for sampling, are the holes of
/// rewrites), then values that nothing makes. What has a state is kept
/// for what it remembers.
fn tidy(graph: &mut Graph) {
    let mut needed = vec![false; graph.values.len()];
    let mut nodes: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    for node in graph.nodes.drain(..).rev() {
        let effect = node.op.state().is_some() || matches!(node.op, Op::Sample);
        if effect || node.outputs.iter().any(|id| needed[id.index()]) {
            node.inputs.iter().for_each(|id| needed[id.index()] = true);
            nodes.push(node);
        }
    }
    nodes.reverse();
    graph.nodes = nodes;
    renumber(graph);
}

/// Numbers values in the order in which they are made.
fn renumber(graph: &mut Graph) {
    let mut new = vec![None; graph.values.len()];
    let mut values: Vec<Value> = Vec::with_capacity(graph.values.len());
    for node in &mut graph.nodes {
        for id in &mut node.inputs {
            // Operands are made before they are used, so each has its number already.
            *id = new[id.index()].unwrap_or(*id);
        }
        for id in &mut node.outputs {
            let number = ValueId(values.len() as u32);
            values.push(graph.values[id.index()].clone());
            new[id.index()] = Some(number);
            *id = number;
        }
    }
    graph.values = values;
}
