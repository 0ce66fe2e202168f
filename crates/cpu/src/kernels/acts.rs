//! Activations as the dot products want them.

use super::math::reciprocal_scale;
use crate::{
    isa::{Isa, LANES},
    tile::BLOCK,
};

/// A buffer of prepared activation rows: the row itself in f32, or int8 codes with a scale for each 32
/// columns, and in either case the sum of each 16 columns (what a group's bias is multiplied by).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Acts {
    /// Elements of a row, a whole number of blocks.
    pub width: usize,
    /// `[rows, width]` int8, when prepared for integer dot products.
    pub q: *mut i8,
    /// `[rows, width / 32]`: scale of the codes.
    pub scale: *mut f32,
    /// `[rows, width / 16]`: sum of the codes.
    pub isum: *mut i32,
    /// `[rows, width / 16]`: sum of the values the dot product uses.
    pub fsum: *mut f32,
    /// `[rows, width]` f32, when prepared for float dot products.
    pub x: *mut f32,
}

impl Acts {
    /// Bytes a row of `cols` columns needs, for both kinds together.
    pub fn row_bytes(cols: usize) -> usize {
        let width = cols.next_multiple_of(BLOCK);
        width + width / 32 * 4 + width / 16 * 8 + width * 4
    }

    /// Lays buffers for `rows` rows of `cols` columns out from `base`, which is good for
    /// `rows * row_bytes(cols)` bytes and 4-byte aligned.
    pub fn place(base: *mut u8, rows: usize, cols: usize) -> Self {
        let width = cols.next_multiple_of(BLOCK);
        let mut at = 0;
        let mut take = |bytes: usize| {
            let p = base.wrapping_add(at);
            at += bytes * rows;
            p
        };
        Self {
            width,
            x: take(width * 4).cast(),
            scale: take(width / 32 * 4).cast(),
            isum: take(width / 16 * 4).cast(),
            fsum: take(width / 16 * 4).cast(),
            q: take(width).cast(),
        }
    }

    /// Quantises `x` (`width` elements, zero beyond the matrix's columns) to row `row`: each 32 columns
    /// are divided by a scale that takes the largest to 127.
    ///
    /// # Safety
    /// `x` and the buffers are good for the row; the machine has `S`.
    #[inline(always)]
    pub unsafe fn quantize<S: Isa>(&self, x: *const f32, row: usize) {
        // SAFETY: offsets stay within row `row` of each buffer.
        unsafe {
            for block in 0..self.width / BLOCK {
                let (a, b) = (S::load(x.add(block * BLOCK)), S::load(x.add(block * BLOCK + LANES)));
                let (scale, inverse) = reciprocal_scale(S::largest(S::max(S::abs(a), S::abs(b))));
                let inverse = S::splat(inverse);
                *self.scale.add(row * self.width / BLOCK + block) = scale;
                for (half, x) in [a, b].into_iter().enumerate() {
                    let q = S::round(S::mul(x, inverse));
                    S::store_i8(self.q.add(row * self.width + block * BLOCK + half * LANES), q);
                    let sum = S::sum_i(q);
                    let at = row * self.width / LANES + block * 2 + half;
                    *self.isum.add(at) = sum;
                    *self.fsum.add(at) = scale * sum as f32;
                }
            }
        }
    }

    /// Copies `x` (`width` elements) to row `row`; with `sums`, sums each 16 columns. (Beside
    /// [`Acts::quantize`] the sums are the codes', and only plain floats, which need none, read the copy.)
    ///
    /// # Safety
    /// `x` and the buffers are good for the row; the machine has `S`.
    #[inline(always)]
    pub unsafe fn copy<S: Isa>(&self, x: *const f32, row: usize, sums: bool) {
        // SAFETY: offsets stay within row `row` of each buffer.
        unsafe {
            for i in 0..self.width / LANES {
                let v = S::load(x.add(i * LANES));
                S::store(self.x.add(row * self.width + i * LANES), v);
                if sums {
                    *self.fsum.add(row * self.width / LANES + i) = S::sum(v);
                }
            }
        }
    }
}
