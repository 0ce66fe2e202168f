//! Activations as the dot products want them.
//!
//! Rows go in panels of up to eight, block by block, so that a product of several rows walks one stream:
//!
//! ```text
//! q    [panels][blocks][lanes][32]   int8 codes
//! meta [panels][blocks][lanes]       scale and sums of the block
//! x    [rows][width]                 the row itself, for float dot products
//! ```

use super::math::reciprocal_scale;
use crate::{
    isa::{Isa, LANES},
    tile::BLOCK,
};

/// Rows of the widest panel.
const PANEL: usize = 8;

/// Rows of a panel when there are `rows` rows.
fn lanes(rows: usize) -> usize {
    rows.next_power_of_two().min(PANEL)
}

/// Where floats begin, behind the codes, scales and sums of `rows` rows.
fn float_at(rows: usize, width: usize) -> usize {
    (rows * (width + width / BLOCK * size_of::<Meta>())).next_multiple_of(64)
}

/// What a product needs to know of 32 columns of a row besides their codes.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(crate) struct Meta {
    /// Scale of the codes.
    pub scale: f32,
    /// Sum of the values that the dot product uses: what a bias is multiplied by.
    pub fsum: f32,
    /// Sum of the first 16 of them.
    pub fsum_low: f32,
    /// Sum of the codes.
    pub isum: i32,
    /// Sum of the first 16 codes.
    pub isum_low: i32,
}

/// A buffer of prepared activation rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acts {
    /// Elements of a row, a whole number of blocks.
    pub width: usize,
    /// Rows of a panel.
    pub lanes: usize,
    /// Codes, when prepared for integer dot products.
    pub q: *mut i8,
    /// Scales and sums.
    pub meta: *mut Meta,
    /// Values, when prepared for float dot products.
    pub x: *mut f32,
}

impl Acts {
    /// Bytes that `rows` rows of `cols` columns need; with `float`, for float dot products too.
    pub fn bytes(rows: usize, cols: usize, float: bool) -> usize {
        let (rows, width) = (Self::room(rows), cols.next_multiple_of(BLOCK));
        float_at(rows, width) + if float { rows * width * size_of::<f32>() } else { 0 }
    }

    /// Lays out buffers for `rows` rows of `cols` columns from `base`, which is good for
    /// [`Acts::bytes`] and 64-byte aligned (without room for floats, if none are prepared). Panels are as
    /// wide as `rows` rows can use.
    pub fn place(base: *mut u8, rows: usize, cols: usize) -> Self {
        let lanes = lanes(rows);
        let (rows, width) = (Self::room(rows), cols.next_multiple_of(BLOCK));
        let meta = base.wrapping_add(rows * width).cast();
        let x = base.wrapping_add(float_at(rows, width)).cast();
        Self { width, lanes, q: base.cast(), meta, x }
    }

    /// Rows `first .. first + rows` as a buffer of their own, with panels as wide as so many can use.
    /// `first` is where a panel of these begins: what lies before is whole panels of any width.
    pub fn panels(&self, first: usize, rows: usize) -> Self {
        Self {
            lanes: lanes(rows),
            q: self.q.wrapping_add(first * self.width),
            meta: self.meta.wrapping_add(first * self.blocks()),
            x: self.x.wrapping_add(first * self.width),
            ..*self
        }
    }

    /// Rows that the panels of `rows` rows have room for.
    pub fn room(rows: usize) -> usize {
        rows.next_multiple_of(lanes(rows))
    }

    /// Blocks of a row.
    pub fn blocks(&self) -> usize {
        self.width / BLOCK
    }

    /// Index of block 0 of a row among the panels' lanes; the next block is `lanes` further.
    pub fn first(&self, row: usize) -> usize {
        row / self.lanes * self.blocks() * self.lanes + row % self.lanes
    }

    /// Quantises `x` (`width` elements, zero beyond the matrix's columns) to row `row`: each 32 columns
    /// are divided by a scale that takes the largest to 127. Sums of half blocks only with `halves`.
    ///
    /// # Safety
    /// `x` and the buffers are good for the row; the machine has `S`.
    #[inline(always)]
    pub unsafe fn quantize<S: Isa>(&self, x: *const f32, row: usize, halves: bool) {
        let first = self.first(row);
        // SAFETY: offsets stay within row `row` of each buffer.
        unsafe {
            for block in 0..self.blocks() {
                let at = first + block * self.lanes;
                let (a, b) = (S::load(x.add(block * BLOCK)), S::load(x.add(block * BLOCK + LANES)));
                let (scale, inverse) = reciprocal_scale(S::largest(S::max(S::abs(a), S::abs(b))));
                let inverse = S::splat(inverse);
                let (a, b) = (S::round(S::mul(a, inverse)), S::round(S::mul(b, inverse)));
                S::store_i8(self.q.add(at * BLOCK), a);
                S::store_i8(self.q.add(at * BLOCK + LANES), b);
                let isum = S::sum_i(S::add_i(a, b));
                let isum_low = if halves { S::sum_i(a) } else { 0 };
                let fsum_low = scale * isum_low as f32;
                let fsum = scale * isum as f32;
                self.meta.add(at).write(Meta { scale, fsum, fsum_low, isum, isum_low });
            }
        }
    }

    /// Copies `x` (`width` elements) to row `row`; with `sums`, sums each block. (Beside
    /// [`Acts::quantize`] the sums are the codes', and only plain floats, which need none, read the copy.)
    ///
    /// # Safety
    /// `x` and the buffers are good for the row; the machine has `S`.
    #[inline(always)]
    pub unsafe fn copy<S: Isa>(&self, x: *const f32, row: usize, sums: bool) {
        let first = self.first(row);
        // SAFETY: offsets stay within row `row` of each buffer.
        unsafe {
            for block in 0..self.blocks() {
                let (a, b) = (S::load(x.add(block * BLOCK)), S::load(x.add(block * BLOCK + LANES)));
                let to = self.x.add(row * self.width + block * BLOCK);
                S::store(to, a);
                S::store(to.add(LANES), b);
                if sums {
                    let fsum_low = S::sum(a);
                    let fsum = fsum_low + S::sum(b);
                    let meta = Meta { scale: 1.0, fsum, fsum_low, isum: 0, isum_low: 0 };
                    self.meta.add(first + block * self.lanes).write(meta);
                }
            }
        }
    }
}
