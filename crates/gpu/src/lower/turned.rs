//! Which attention takes its queries and keys as products make them: what lies between is done by one kernel.

use std::collections::{HashMap, HashSet};

use tessera_graph::{Graph, Node, Op, RmsNorm, ValueId, WeightId, Weights};

/// Norms of heads: weights of queries' and of keys'.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Norms {
    pub weights: [WeightId; 2],
    pub eps: f32,
    pub offset: f32,
}

/// Queries and keys of an attention, before they are normalised and turned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Turned {
    pub queries: ValueId,
    pub keys: ValueId,
    pub angles: ValueId,
    pub norms: Option<Norms>,
}

/// All attention of a graph that is so, by its result, and the nodes that are not launched.
#[derive(Debug, Default)]
pub struct All {
    pub of: HashMap<ValueId, Turned>,
    pub absorbed: HashSet<ValueId>,
}

/// Looks through a graph whose values lie at `offsets`.
pub fn find(graph: &Graph, bound: &Weights, offsets: &[Option<usize>]) -> All {
    let search = Search::new(graph, bound, offsets);
    let mut all = All::default();
    for node in graph.nodes.iter().filter(|node| matches!(node.op, Op::Attend(_))) {
        if let Some((turned, absorbed)) = search.attention(node) {
            all.of.insert(node.outputs[0], turned);
            all.absorbed.extend(absorbed);
        }
    }
    all
}

struct Search<'a> {
    graph: &'a Graph,
    bound: &'a Weights,
    offsets: &'a [Option<usize>],
    /// What makes each value.
    makers: HashMap<ValueId, &'a Node>,
    /// How many read it.
    readers: HashMap<ValueId, usize>,
}

impl<'a> Search<'a> {
    fn new(graph: &'a Graph, bound: &'a Weights, offsets: &'a [Option<usize>]) -> Self {
        let makers =
            graph.nodes.iter().flat_map(|node| node.outputs.iter().map(move |&y| (y, node)));
        let mut readers = HashMap::new();
        for &x in graph.nodes.iter().flat_map(|node| &node.inputs) {
            *readers.entry(x).or_default() += 1;
        }
        Self { graph, bound, offsets, makers: makers.collect(), readers }
    }

    /// The node that makes a value out of one that lies in the same place, for one reader. The memory is then in use from the
    /// first value's making to the last one's reading, and holds the first as long as none of these nodes runs.
    fn in_place(&self, value: ValueId) -> Option<&'a Node> {
        let node = *self.makers.get(&value)?;
        let [x, y] = [*node.inputs.first()?, value].map(|id| self.offsets[id.index()]);
        (x.is_some() && x == y && self.readers.get(&value) == Some(&1)).then_some(node)
    }

    /// What turns a value, and what normalises its heads before.
    fn chain(&self, value: ValueId) -> Option<(&'a Node, Option<(&'a Node, &'a RmsNorm)>)> {
        let turn = self.in_place(value)?;
        let Op::Rope { heads } = turn.op else { return None };
        let norm = self.in_place(turn.inputs[0]).and_then(|node| match &node.op {
            Op::RmsNorm(norm) if norm.heads == heads => Some((node, norm)),
            _ => None,
        });
        Some((turn, norm))
    }

    /// Whether a norm of heads has the same weights for all of them.
    fn has_one_for_all(&self, node: &Node, norm: &RmsNorm) -> bool {
        let weight = &self.bound[norm.weight];
        let width = self.graph.values[node.inputs[0].index()].width;
        weight.rows * weight.cols == width / norm.heads
    }

    fn attention(&self, node: &Node) -> Option<(Turned, Vec<ValueId>)> {
        let [queries, keys, _] = node.inputs[..] else { return None };
        let [(turn_q, norm_q), (turn_k, norm_k)] = [self.chain(queries)?, self.chain(keys)?];
        let angles = turn_q.inputs[1];
        if turn_k.inputs[1] != angles {
            return None;
        }
        let mut absorbed = vec![queries, keys];
        let [mut from_q, mut from_k] = [turn_q.inputs[0], turn_k.inputs[0]];
        let norms = norm_q.zip(norm_k).and_then(|((node_q, q), (node_k, k))| {
            // the same weights for all heads
            let alike = self.has_one_for_all(node_q, q) && self.has_one_for_all(node_k, k);
            let alike = alike && (q.eps, q.offset) == (k.eps, k.offset);
            let norms = Norms { weights: [q.weight, k.weight], eps: q.eps, offset: q.offset };
            alike.then_some((norms, node_q, node_k))
        });
        let norms = norms.map(|(norms, node_q, node_k)| {
            absorbed.extend([from_q, from_k]);
            [from_q, from_k] = [node_q.inputs[0], node_k.inputs[0]];
            norms
        });
        // between them nothing may run: the angles, which are read later than planned, might be overwritten
        let absorbs = |other: &Node| other.outputs.iter().any(|y| absorbed.contains(y));
        let before = self.graph.nodes.iter().take_while(|other| other.outputs != node.outputs);
        let alone = before.skip_while(|other| !absorbs(other)).all(absorbs);
        alone.then_some((Turned { queries: from_q, keys: from_k, angles, norms }, absorbed))
    }
}
