//! What mixtures need in memory, known before anything is allocated.

use super::OWN_ROUTES;
use crate::kernels::acts::Acts;

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
    /// Of `rows` rows of `cols` columns with `k` of `experts` experts, `width` columns inside; `float` if any
    /// matrix reads floats.
    pub fn new(
        rows: usize,
        k: usize,
        experts: usize,
        [cols, width]: [usize; 2],
        float: bool,
    ) -> Self {
        let routes = rows * k;
        // a group's panels have room for less than twice its rows, and for seven rows more at most
        let room = routes + routes.min(7 * experts);
        let own = Acts::bytes(1, cols, float).max(Acts::bytes(k, width, float));
        Self {
            experts,
            routes,
            groups: routes.min(experts.max(k)),
            width,
            bytes: made_at(routes, width) + routes * cols * size_of::<f32>(),
            acts: Acts::bytes(room, cols.max(width), float),
            own_acts: if k <= OWN_ROUTES { own } else { 0 },
        }
    }

    /// What either needs.
    pub fn max(self, other: Self) -> Self {
        Self {
            experts: self.experts.max(other.experts),
            routes: self.routes.max(other.routes),
            groups: self.groups.max(other.groups),
            width: self.width.max(other.width),
            bytes: self.bytes.max(other.bytes),
            acts: self.acts.max(other.acts),
            own_acts: self.own_acts.max(other.own_acts),
        }
    }
}

/// Where what experts make begins: behind what is between their matrices.
pub(super) fn made_at(routes: usize, width: usize) -> usize {
    (routes * width * size_of::<f32>()).next_multiple_of(64)
}
