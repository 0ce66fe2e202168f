//! Both operands on their way to shared memory: what comes next is loaded while others still multiply, and staged after that.

use tessera_tile::{flow::Compare, prelude::*};

use super::{Matmul, MatmulArgsVals, Vectors};
use crate::{
    codes::{Planes, STEP},
    stage::{Operand, PART, share},
};

/// Where a threadgroup's operands come from.
pub(crate) struct Source<'a> {
    pub k: &'a Matmul,
    pub x: In<F32>,
    pub w: &'a Planes,
    pub vectors: &'a Vectors,
    /// First row of the matrix among those of `w`.
    pub base: Val<u32>,
    /// First result.
    pub first: Val<u32>,
    pub a: &'a MatmulArgsVals,
}

/// Elements of a row of an operand: the row, the first one's column, and themselves.
pub(super) type Piece = (Val<u32>, Val<u32>, Vec<Val<f32>>);

/// Where a piece of a vector is: row and column of the operand, and where the vector begins.
pub(super) type Place = (Val<u32>, Val<u32>, Val<u32>);

/// A thread's pieces of vectors and of weights.
pub(crate) struct Loaded {
    vectors: Vec<Piece>,
    weights: Vec<Piece>,
}

impl Source<'_> {
    /// Blocks of [`STEP`] columns.
    pub fn steps(&self) -> Val<u32> {
        div_ceil(self.a.cols, STEP)
    }

    /// Where the thread's pieces of vectors are: row, first column at once, and where the vector begins.
    pub fn places(&self) -> Vec<Place> {
        let k = self.k;
        let parts = k.columns() / PART;
        let place = |turn: u32| {
            let i = thread() + turn * threads();
            let (row, column) = (min(i / parts, k.vectors - 1), i % parts * PART);
            (row, column, self.vectors.input(row) * self.a.cols)
        };
        (0..(k.vectors * parts).div_ceil(threads())).map(place).collect()
    }

    /// The thread's pieces of the columns from `block` on.
    pub fn load(&self, places: &[Place], block: Val<u32>) -> Loaded {
        Loaded { vectors: self.vectors(places, block), weights: self.weights(block) }
    }

    /// Of the vectors, [`PART`] at a time; zeros beyond the last column.
    pub fn vectors(&self, places: &[Place], block: Val<u32>) -> Vec<Piece> {
        let (k, x, a) = (self.k, self.x, self.a);
        let load = |&(row, column, of): &Place| {
            let from = block * STEP + column;
            let inside = |i: u32| (from + i).lt(a.cols);
            let values = if k.ragged {
                let one = |i| select(inside(i), x.at(of + select(inside(i), from + i, 0)), 0.0);
                (0..PART).map(one).collect()
            } else if k.steps > 1 {
                let at = of + select(inside(0), from, 0);
                let all = (0..PART / 4).flat_map(|i| x.load::<4>(at + i * 4));
                all.map(|x| select(inside(0), x, 0.0)).collect()
            } else {
                (0..PART / 4).flat_map(|i| x.load::<4>(of + from + i * 4)).collect()
            };
            (row, column, values)
        };
        places.iter().map(load).collect()
    }

    /// Of the weights, [`STEP`] at a time. Beyond the last column they do not matter.
    fn weights(&self, block: Val<u32>) -> Vec<Piece> {
        let k = self.k;
        let load = |turn: u32| {
            let i = thread() + turn * threads();
            let (row, step) = (min(i / k.steps, k.all_rows() - 1), i % k.steps);
            let (from, block, steps) = self.weight_at(row, block + step);
            (row, step * STEP, self.w.step(from, block, steps).values())
        };
        (0..(k.all_rows() * k.steps).div_ceil(threads())).map(load).collect()
    }

    /// Where in the matrix a row of the operand and a block lie, or the last there are; and a row's number of blocks.
    pub fn weight_at(&self, row: Val<u32>, block: Val<u32>) -> (Val<u32>, Val<u32>, Val<u32>) {
        let (k, first, steps) = (self.k, self.first, self.steps());
        let results = self.a.rows / k.end.halves();
        let from = match k.end.halves() {
            1 => min(first + row, results - 1),
            _ => min(first + row % k.rows, results - 1) + row / k.rows * results,
        };
        (self.base + from, min(block, steps - 1), steps)
    }
}

/// Both operands in shared memory.
pub(super) struct Operands {
    /// `[vectors, columns at once]`.
    pub vectors: Operand,
    /// `[rows, columns at once]`; what a gate lets through lies below the gate, here as in the matrix.
    pub weights: Operand,
}

impl Operands {
    pub fn new(k: &Matmul) -> Self {
        let vectors = Operand::new("vectors", k.stage, k.vectors, k.columns());
        let weights = Operand::new("weights", k.stage, k.all_rows(), k.columns());
        Self { vectors, weights }
    }

    /// Puts what all threads loaded in its place.
    pub fn stage(&self, loaded: &Loaded) {
        let (rows, columns) = self.vectors.size();
        stage(&self.vectors, rows * columns / PART, &loaded.vectors);
        let (rows, columns) = self.weights.size();
        stage(&self.weights, rows * columns / STEP, &loaded.weights);
    }
}

/// Puts `count` pieces, by all threads, in their place.
pub(super) fn stage(operand: &Operand, count: u32, loaded: &[Piece]) {
    share(count, |turn, _| {
        let (row, column, values) = &loaded[turn as usize];
        operand.put(*row, *column, values);
    });
}
