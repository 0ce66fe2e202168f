//! Shared memory, and how queries come to it.

use tessera_tile::prelude::*;

use super::{AttendTile, SCORES};
use crate::{stage::Operand, tables::PAGE};

/// Shared memory.
pub(super) struct Shelf {
    /// `[rows, padded]`.
    pub query: Operand,
    /// Some elements of pages' keys or values, `[depth * PAGE, dims]`.
    pub staged: Operand,
    /// `[rows, PAGE]`.
    pub weights: Operand,
    /// `[rows, SCORES]`, of which `PAGE` are used; between, a scratch.
    pub scores: Shared<F32>,
    /// By which each row of the result is multiplied.
    pub factors: Shared<F32>,
    /// Whether a simdgroup has a row whose reference grew.
    pub grown: Shared<U32>,
}

impl Shelf {
    pub fn new(k: &AttendTile) -> Self {
        Self {
            query: Operand::new("query", k.stage, k.rows, k.padded()),
            staged: Operand::new("staged", k.stage, k.depth * PAGE, k.dims),
            weights: Operand::new("weights", k.stage, k.rows, PAGE),
            scores: shared("scores", k.rows * SCORES),
            factors: shared("factors", k.rows),
            grown: shared("grown", simdgroups()),
        }
    }
}

/// Stages the block's queries; rows beyond its end repeat its last.
#[device]
pub(super) fn stage_queries(
    k: &AttendTile,
    shelf: &Shelf,
    queries: In<F32>,
    first: Val<u32>,
    stride: Val<u32>,
    count: Val<u32>,
) {
    let quads = k.padded() / 4;
    for i in (thread()..k.rows * quads).step_by(threads()) {
        let (row, element) = (i / quads, i % quads * 4);
        let inside = element < k.cache.head_dim;
        let from = first + min(row, count - 1) * stride + select(inside, element, 0);
        let four = queries.load::<4>(from).map(|x| select(inside, x, 0.0));
        shelf.query.put(row, element, &four);
    }
}
