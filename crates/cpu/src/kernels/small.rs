//! Products of small matrices in f32, of which a block of sums stays in registers.

use crate::isa::{Isa, LANES};

/// Rows of a block of sums.
pub(super) const ROWS: usize = 4;

/// A matrix in memory, row after row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Matrix {
    pub p: *const f32,
    /// Elements from one row to the next.
    pub stride: usize,
}

impl Matrix {
    /// Address of an element.
    #[inline(always)]
    pub fn at(&self, row: usize, column: usize) -> *const f32 {
        self.p.wrapping_add(row * self.stride + column)
    }

    /// The rows from `row` on, from column `column`.
    #[inline(always)]
    pub fn from(&self, row: usize, column: usize) -> Self {
        Self { p: self.at(row, column), ..*self }
    }

    /// Rows as they are, for [`multiply`].
    #[inline(always)]
    pub(super) fn factors(&self) -> Factors {
        Factors { p: self.p, row: self.stride, step: 1 }
    }

    /// Columns as rows, for [`multiply`].
    #[inline(always)]
    pub(super) fn transposed(&self) -> Factors {
        Factors { p: self.p, row: 1, step: self.stride }
    }
}

/// Numbers that whole vectors are multiplied with: `(i, k)` is at `p + i * row + k * step`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Factors {
    p: *const f32,
    row: usize,
    step: usize,
}

/// Sums of `R` rows by `V` vectors.
pub(super) type Sums<S, const R: usize, const V: usize> = [[<S as Isa>::F; V]; R];

/// Zeros.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
pub(super) unsafe fn zeros<S: Isa, const R: usize, const V: usize>() -> Sums<S, R, V> {
    // SAFETY: the caller vouches for the machine.
    unsafe { [[S::splat(0.0); V]; R] }
}

/// `sums[i] += a(i, k) * b[k]` for each of `n` numbers `k`, in order.
///
/// # Safety
/// `a` has `R` rows of `n`, `b` has `n` rows of `V` vectors; the machine has `S`.
#[inline(always)]
pub(super) unsafe fn multiply<S: Isa, const R: usize, const V: usize>(
    mut sums: Sums<S, R, V>,
    a: Factors,
    b: Matrix,
    n: usize,
) -> Sums<S, R, V> {
    // SAFETY: the caller vouches for both matrices and the machine.
    unsafe {
        for k in 0..n {
            let (from, b) = (a.p.add(k * a.step), b.p.add(k * b.stride));
            let mut row = [S::splat(0.0); V];
            for v in 0..V {
                row[v] = S::load(b.add(v * LANES));
            }
            for i in 0..R {
                let factor = S::splat(*from.add(i * a.row));
                for v in 0..V {
                    sums[i][v] = S::fma(factor, row[v], sums[i][v]);
                }
            }
        }
        sums
    }
}

/// Work on columns that do not know of each other, as many vectors of them at a time as registers allow.
pub(super) trait Columns {
    /// Vectors at a time at most: 4 or 8 where there are many registers, 1 or 2 where there are few.
    const MOST: (usize, usize);

    /// Columns `16 * first .. 16 * (first + V)`.
    ///
    /// # Safety
    /// They are there; the machine has `S`.
    unsafe fn columns<S: Isa, const V: usize>(&self, first: usize);
}

/// Does the work on `vectors` vectors of columns.
///
/// # Safety
/// They are there; the machine has `S`.
#[inline(always)]
pub(super) unsafe fn by_columns<S: Isa, C: Columns>(work: &C, vectors: usize) {
    let mut first = 0;
    // SAFETY: passed on.
    unsafe {
        if S::WIDE && const { C::MOST.0 == 8 } {
            while first + 8 <= vectors {
                work.columns::<S, 8>(first);
                first += 8;
            }
        }
        if S::WIDE {
            while first + 4 <= vectors {
                work.columns::<S, 4>(first);
                first += 4;
            }
        }
        if S::WIDE || const { C::MOST.1 == 2 } {
            while first + 2 <= vectors {
                work.columns::<S, 2>(first);
                first += 2;
            }
        }
        while first < vectors {
            work.columns::<S, 1>(first);
            first += 1;
        }
    }
}

/// `out[t][s] = a[t] . b[s]` for `s <= t` (and what shares a vector with it), given `b` transposed.
pub(super) struct Lower {
    /// `[rows, n]`.
    pub a: Matrix,
    /// `[n, rows]`, whole vectors.
    pub b: Matrix,
    pub n: usize,
    /// `[rows, rows]`.
    pub out: *mut f32,
    /// A multiple of 16.
    pub rows: usize,
}

impl Lower {
    /// # Safety
    /// The matrices are as large as said; the machine has `S`.
    #[inline(always)]
    pub unsafe fn run<S: Isa>(&self) {
        for t in (0..self.rows).step_by(ROWS) {
            // SAFETY: passed on.
            unsafe { by_columns::<S, _>(&LowerRows { all: self, t }, t / LANES + 1) };
        }
    }
}

/// Rows `t .. t + ROWS` of a [`Lower`].
struct LowerRows<'a> {
    all: &'a Lower,
    t: usize,
}

impl Columns for LowerRows<'_> {
    const MOST: (usize, usize) = (4, 1);

    #[inline(always)]
    unsafe fn columns<S: Isa, const V: usize>(&self, first: usize) {
        let Lower { a, b, n, out, rows } = *self.all;
        // SAFETY: rows and columns are within the matrices.
        unsafe {
            let sums = zeros::<S, ROWS, V>();
            let b = b.from(0, first * LANES);
            let sums = multiply::<S, ROWS, V>(sums, a.from(self.t, 0).factors(), b, n);
            for i in 0..ROWS {
                for v in 0..V {
                    S::store(out.add((self.t + i) * rows + (first + v) * LANES), sums[i][v]);
                }
            }
        }
    }
}

/// Writes the transpose of the `rows` rows of `n` elements at `a`: `[n, rows]`.
///
/// # Safety
/// Both are there.
#[inline(always)]
pub(super) unsafe fn transpose(a: Matrix, rows: usize, n: usize, out: *mut f32) {
    for k in 0..n {
        for t in 0..rows {
            // SAFETY: within both matrices.
            unsafe { *out.add(k * rows + t) = *a.at(t, k) };
        }
    }
}
