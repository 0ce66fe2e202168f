//! Operands of matrix tiles in shared memory, and sums on their way through it.

use tessera_tile::prelude::*;

use crate::check::ensure;

/// Elements of a tile that a lane takes: half a row.
pub const PART: u32 = 8;

/// Divides `count` things among all threads, and has each thread do `each` of its own: the turn and the thing.
///
/// The condition stands where it always holds, too: without it NVIDIA's compiler moves what was loaded before a barrier
/// behind it, which took a tenth of the speed of prompts.
#[device]
pub fn share(count: u32, each: impl Fn(u32, Val<u32>)) {
    for turn in 0..count.div_ceil(threads()) {
        let i = thread() + turn * threads();
        if i < count {
            each(turn, i);
        }
    }
}

/// A matrix in shared memory, an operand of tiles.
///
/// Its rows lie 8 elements farther apart than they are long, so that eight rows' vectors of 16 bytes are in different banks.
#[derive(Clone, Copy)]
pub struct Operand {
    memory: Shared<AnyFloat>,
    elem: Elem,
    rows: u32,
    stride: u32,
}

/// Whether operands of tiles can be of a type; if not, why.
pub fn check(elem: Elem) -> Result<(), String> {
    let known = matches!(elem, Elem::F32 | Elem::F16);
    ensure!(known, "tiles of {elem:?}; they are of F32 or F16");
    Ok(())
}

/// Bytes of an [`Operand`].
pub fn bytes(elem: Elem, rows: u32, columns: u32) -> u32 {
    rows * (columns + 8) * elem.bytes() as u32
}

impl Operand {
    /// Declares one of `rows` rows of `columns` columns, both multiples of 16.
    pub fn new(name: &'static str, elem: Elem, rows: u32, columns: u32) -> Self {
        let stride = columns + 8;
        Self { memory: shared_of(name, elem, rows * stride), elem, rows, stride }
    }

    /// Its rows and columns.
    pub fn size(&self) -> (u32, u32) {
        (self.rows, self.stride - 8)
    }

    /// Sets elements of a row; their number and `column` are multiples of 4, with 8 or more of 8.
    pub fn put(&self, row: impl Get<u32>, column: impl Get<u32>, values: &[Val<f32>]) {
        let at = row.get() * self.stride + column.get();
        if self.elem == Elem::F16 && values.len().is_multiple_of(8) {
            for (i, eight) in (0..).step_by(8).zip(values.as_chunks::<8>().0) {
                self.memory.store(at + i, *eight);
            }
            return;
        }
        for (i, four) in (0..).step_by(4).zip(values.as_chunks::<4>().0) {
            self.memory.store(at + i, *four);
        }
    }

    /// Begins to copy 16 bytes of elements of its type to a row, from a multiple of their number; zeros where `inside`, if
    /// there is such a condition, does not hold.
    pub fn copy(
        &self,
        (row, column): (Val<u32>, Val<u32>),
        from: In<AnyFloat>,
        index: Val<u32>,
        inside: Option<Val<bool>>,
    ) {
        let (to, at) = (self.memory, self.at(row, column));
        match (self.elem.bytes(), inside) {
            (2, None) => to.stage::<8>(at, from, index),
            (2, Some(inside)) => to.stage_if::<8>(inside, at, from, index),
            (_, None) => to.stage::<4>(at, from, index),
            (_, Some(inside)) => to.stage_if::<4>(inside, at, from, index),
        }
    }

    fn at(&self, row: impl Get<u32>, column: impl Get<u32>) -> Val<u32> {
        row.get() * self.stride + column.get()
    }

    /// The tile whose first element is at `row` and `column`, as a left operand.
    pub fn left(&self, row: impl Get<u32>, column: impl Get<u32>) -> Tile {
        Tile::left(self.memory, self.at(row, column), self.stride)
    }

    /// As a right operand.
    pub fn right(&self, row: impl Get<u32>, column: impl Get<u32>) -> Tile {
        Tile::right(self.memory, self.at(row, column), self.stride)
    }

    /// As a right operand, rows and columns exchanged.
    pub fn right_transposed(&self, row: impl Get<u32>, column: impl Get<u32>) -> Tile {
        Tile::right_transposed(self.memory, self.at(row, column), self.stride)
    }
}

/// A tile's place in shared memory for each simdgroup, where its lanes see the elements of a sum.
#[derive(Clone, Copy)]
pub struct Scratch {
    memory: Shared<F32>,
}

impl Scratch {
    /// Elements of one for `simdgroups` simdgroups.
    pub fn len(simdgroups: u32) -> u32 {
        simdgroups * TILE * TILE
    }

    /// At the beginning of an array of as many elements or more.
    pub fn of(memory: Shared<F32>) -> Self {
        Self { memory }
    }

    fn first(&self) -> Val<u32> {
        simdgroup() * (TILE * TILE)
    }

    /// Where in a tile the lane's elements begin: row and column.
    pub fn place(&self) -> (Val<u32>, Val<u32>) {
        (lane() / 2, lane() % 2 * PART)
    }

    /// The lane's elements of a sum, [`PART`] neighbours of the row at [`Scratch::place`]. The simdgroup comes together here.
    pub fn elements(&self, sum: Tile) -> Vec<Val<f32>> {
        simd_barrier();
        sum.store(self.memory, self.first(), TILE);
        simd_barrier();
        let at = self.first() + lane() * PART;
        (0..PART / 4).flat_map(|i| self.memory.load::<4>(at + i * 4)).collect()
    }

    /// Puts [`PART`] values where the lane's elements were, for [`Scratch::element`].
    pub fn keep(&self, values: &[Val<f32>]) {
        let at = self.first() + lane() * PART;
        for (i, four) in (0..).step_by(4).zip(values.as_chunks::<4>().0) {
            self.memory.store(at + i, *four);
        }
    }

    /// One of the values that the lane keeps.
    pub fn element(&self, i: Val<u32>) -> Val<f32> {
        self.memory.at(self.first() + lane() * PART + i)
    }

    /// Multiplies the lane's elements of a sum by `factor`.
    pub fn scale(&self, sum: Tile, factor: Val<f32>) {
        let elements = self.elements(sum);
        self.keep(&elements.into_iter().map(|x| x * factor).collect::<Vec<_>>());
        simd_barrier();
        sum.restore(self.memory, self.first(), TILE);
    }
}
