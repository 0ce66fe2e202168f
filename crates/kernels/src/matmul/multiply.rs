//! What simdgroups do with tiles.

use tessera_tile::prelude::*;

use super::{Matmul, load::Operands};

/// A simdgroup's sums: tiles of vectors down and of results across, of a gate's and of what it lets through beside each other.
pub(super) struct Sums {
    /// First vector in the threadgroup's block.
    pub vector: Val<u32>,
    /// First result in it.
    pub row: Val<u32>,
    /// First row of the weights, for each tile across.
    rows: Vec<Val<u32>>,
    /// First by tiles down.
    pub tiles: Vec<Vec<Tile>>,
}

impl Sums {
    /// Zeros.
    pub fn new(k: &Matmul) -> Self {
        let (down, across) = (k.vectors / k.down, k.rows / k.across);
        let (vector, row) = (simdgroup() / k.across * down, simdgroup() % k.across * across);
        let all = (0..k.end.halves() * across).step_by(TILE as usize);
        let rows: Vec<_> = all.map(|i| row + (i / across * k.rows + i % across)).collect();
        let zeros = |_| rows.iter().map(|_| Tile::sum(0.0)).collect();
        let tiles = (0..down / TILE).map(zeros).collect();
        Self { vector, row, rows, tiles }
    }

    /// Adds the products of what is staged.
    pub fn multiply_add(&self, k: &Matmul, operands: &Operands) {
        for column in (0..k.columns()).step_by(TILE as usize) {
            let vector = |i: usize| self.vector + i as u32 * TILE;
            let left = |i: usize| operands.vectors.left(vector(i), column);
            let left: Vec<_> = (0..self.tiles.len()).map(left).collect();
            let right = |&row: &Val<u32>| operands.weights.right_transposed(row, column);
            let right: Vec<_> = self.rows.iter().map(right).collect();
            for (left, sums) in left.iter().zip(&self.tiles) {
                for (right, sum) in right.iter().zip(sums) {
                    sum.multiply_add(*left, *right);
                }
            }
        }
    }
}
