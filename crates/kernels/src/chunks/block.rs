//! Products of small matrices in shared memory, by threadgroups of [`THREADS`] threads.

use tessera_tile::prelude::*;

/// Threads that make a block.
pub const THREADS: u32 = 256;

/// Rows and columns of a block.
pub const SIDE: u32 = 64;

/// An operand's [`SIDE`] rows (or columns) in shared memory.
#[derive(Clone, Copy)]
pub(crate) enum Operand {
    /// Element `d` of row `i` is at `i * stride + d`; the stride is 4 times an odd number, so that 8 rows are in all banks.
    Rows(Shared<F32>, u32),
    /// Element `d` of row `i` is at `d * SIDE + i`.
    Depths(Shared<F32>),
}

impl Operand {
    /// The `i`-th row of the thread whose place along this side is `place`.
    fn row(self, place: Val<u32>, i: u32) -> Val<u32> {
        match self {
            Self::Rows(..) => place + i * (SIDE / 4),
            Self::Depths(_) => place * 4 + i,
        }
    }

    /// Elements `depth..depth + 4` of the thread's rows: first by depth.
    fn load(self, place: Val<u32>, depth: Val<u32>) -> [[Val<f32>; 4]; 4] {
        match self {
            Self::Depths(from) => {
                std::array::from_fn(|d| from.load((depth + d as u32) * SIDE + place * 4))
            }
            Self::Rows(from, stride) => {
                let rows: [[_; 4]; 4] =
                    std::array::from_fn(|i| from.load(self.row(place, i as u32) * stride + depth));
                std::array::from_fn(|d| rows.map(|row| row[d]))
            }
        }
    }
}

/// A thread's sums of a block: 4 rows by 4 columns.
pub(crate) struct Block {
    /// First by row.
    sums: [[Var<f32>; 4]; 4],
}

impl Block {
    /// The thread's elements: row, column, and what it is now. The operands are those of the product.
    pub fn elements(
        &self,
        rows: Operand,
        columns: Operand,
    ) -> impl Iterator<Item = (Val<u32>, Val<u32>, Val<f32>)> {
        (0..16u32).map(move |at| {
            let (i, j) = (at / 4, at % 4);
            let sum = self.sums[i as usize][j as usize].get();
            (rows.row(row_place(), i), columns.row(column_place(), j), sum)
        })
    }
}

/// One group's columns of a matrix `[rows, groups * width]`.
#[derive(Clone, Copy)]
pub(crate) struct Columns {
    pub of: In<F32>,
    pub group: Val<u32>,
    pub groups: Val<u32>,
    pub width: Val<u32>,
}

impl Columns {
    /// Where column `i` of a row is.
    pub fn place(&self, row: Val<u32>, i: Val<u32>) -> Val<u32> {
        (row * self.groups + self.group) * self.width + i
    }

    /// The element there; 0 beyond the last column.
    #[device]
    pub fn at(&self, row: Val<u32>, i: Val<u32>) -> Val<f32> {
        or_zero(self.of, i < self.width, self.place(row, i))
    }
}

/// The thread's place along the rows.
fn row_place() -> Val<u32> {
    thread() / (SIDE / 4)
}

/// The thread's place along the columns.
fn column_place() -> Val<u32> {
    thread() % (SIDE / 4)
}

/// A block of zeros.
#[device]
pub(crate) fn zeros() -> Block {
    assert!(threads() == THREADS);
    let mut sums = [[0.0; 4]; 4];
    Block { sums }
}

/// Adds the product over depths `from..from + depth` of `left`, and as many of `right` from its first.
#[device]
pub(crate) fn multiply_add(
    block: &Block,
    left: Operand,
    from: Val<u32>,
    right: Operand,
    depth: u32,
) {
    for d in (val(0)..depth).step_by(4) {
        let left = left.load(row_place(), from + d);
        let right = right.load(column_place(), d);
        for d in 0..4usize {
            for i in 0..4usize {
                for j in 0..4usize {
                    block.sums[i][j] = fma(left[d][i], right[d][j], block.sums[i][j]);
                }
            }
        }
    }
}

/// Copies a matrix of `rows` x `columns` to shared memory, row `r` to `r * stride`. `of(r, c)` makes an element.
#[device]
pub(crate) fn stage(
    to: Shared<F32>,
    rows: u32,
    columns: u32,
    stride: u32,
    of: impl Fn(Val<u32>, Val<u32>) -> Val<f32>,
) {
    assert!((rows * columns).is_multiple_of(THREADS));
    for i in 0..rows * columns / THREADS {
        let at = thread() + i * THREADS;
        let (row, column) = (at / columns, at % columns);
        to.set(row * stride + column, of(row, column));
    }
}

/// The element at `index` if it is there, else 0.
#[device]
pub(crate) fn or_zero(of: In<F32>, inside: Val<bool>, index: Val<u32>) -> Val<f32> {
    let mut x = 0.0;
    if inside {
        x = of.at(index);
    }
    x.get()
}
