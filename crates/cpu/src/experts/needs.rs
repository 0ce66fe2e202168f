//! What mixtures need in memory, known before anything is allocated.

use tessera_graph::{Graph, Limits, Op};

use super::OWN_ROUTES;
use crate::{kernels::acts::Acts, lower::limit_of};

/// The most that any mixture of a graph needs in a step at its limits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Experts.
    pub experts: usize,
    /// Routes: `rows * k`.
    pub routes: usize,
    /// Groups of rows that go to one expert.
    pub groups: usize,
    /// Columns between an expert's matrices.
    pub width: usize,
    /// Bytes of what is between the matrices, and of what experts make.
    pub bytes: usize,
    /// Bytes of prepared rows.
    pub acts: usize,
    /// Bytes of the rows that a thread prepares for itself.
    pub own_acts: usize,
}

impl Needs {
    /// Of `rows` rows of `cols` columns with `k` of `experts` experts, `width` columns inside.
    pub fn new(rows: usize, k: usize, experts: usize, [cols, width]: [usize; 2]) -> Self {
        let routes = rows * k;
        // a group's panels have room for less than twice its rows, and for seven rows more at most
        let room = routes + routes.min(7 * experts);
        let own = Acts::bytes(1, cols).max(Acts::bytes(k, width));
        Self {
            experts,
            routes,
            groups: routes.min(experts.max(k)),
            width,
            bytes: made_at(routes, width) + routes * cols * size_of::<f32>(),
            acts: Acts::bytes(room, cols.max(width)),
            own_acts: if k <= OWN_ROUTES { own } else { 0 },
        }
    }

    /// Of a graph.
    pub fn of(graph: &Graph, limits: &Limits) -> Self {
        graph.nodes.iter().fold(Self::default(), |most, node| {
            let Op::Experts(op) = &node.op else { return most };
            let x = &graph.values[node.inputs[0].index()];
            let width =
                op.experts.first().map_or(0, |e| graph.weights[e.up.weight.index()].shape[0]);
            let rows = limit_of(x.rows, limits);
            let one = Self::new(rows, op.k, op.experts.len(), [x.width, width]);
            Self {
                experts: most.experts.max(one.experts),
                routes: most.routes.max(one.routes),
                groups: most.groups.max(one.groups),
                width: most.width.max(one.width),
                bytes: most.bytes.max(one.bytes),
                acts: most.acts.max(one.acts),
                own_acts: most.own_acts.max(one.own_acts),
            }
        })
    }
}

/// Where what experts make begins: behind what is between their matrices.
pub(crate) fn made_at(routes: usize, width: usize) -> usize {
    (routes * width * size_of::<f32>()).next_multiple_of(64)
}
