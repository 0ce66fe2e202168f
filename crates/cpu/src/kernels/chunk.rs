//! What the chunked forms of recurrences share.

use tessera_graph::CHUNK;

use super::{
    decay::PerToken,
    small::{Matrix, ROWS, Sums, multiply, zeros},
};
use crate::isa::{Isa, LANES};

/// What tokens `t .. t + ROWS` read of the state before the chunk and of the inputs up to their own:
/// `decay[t] * (reader[t] . state) + sum over s of mixed[t][s] * inputs[s]`.
pub(super) struct Reading<'a> {
    /// `[CHUNK, n]`.
    pub reader: Matrix,
    /// `[n, 16 * V ..]`.
    pub state: Matrix,
    pub n: usize,
    /// From before the chunk to each token.
    pub decay: &'a PerToken,
    /// `[CHUNK, CHUNK]`, zero where `s > t`.
    pub mixed: Matrix,
    /// `[CHUNK, 16 * V ..]`.
    pub inputs: Matrix,
}

impl Reading<'_> {
    /// The part that comes from the state.
    ///
    /// # Safety
    /// The matrices are there; the machine has `S`.
    #[inline(always)]
    pub unsafe fn of_state<S: Isa, const V: usize>(&self, t: usize) -> Sums<S, ROWS, V> {
        // SAFETY: the caller's.
        unsafe {
            let reader = self.reader.from(t, 0).factors();
            let mut sums =
                multiply::<S, ROWS, V>(zeros::<S, ROWS, V>(), reader, self.state, self.n);
            for i in 0..ROWS {
                for v in 0..V {
                    sums[i][v] = S::mul(sums[i][v], S::splat(self.decay[t + i]));
                }
            }
            sums
        }
    }

    /// Adds the part that comes from the first `before` inputs.
    ///
    /// # Safety
    /// As for [`Reading::of_state`].
    #[inline(always)]
    pub unsafe fn add_inputs<S: Isa, const V: usize>(
        &self,
        sums: Sums<S, ROWS, V>,
        t: usize,
        before: usize,
    ) -> Sums<S, ROWS, V> {
        // SAFETY: the caller's.
        unsafe {
            multiply::<S, ROWS, V>(sums, self.mixed.from(t, 0).factors(), self.inputs, before)
        }
    }
}

/// The state after a chunk: `to = kept * from + writer^T inputs`.
pub(super) struct Writing {
    /// `[n, 16 * V ..]`.
    pub from: Matrix,
    /// Like `from`, and it may be `from`.
    pub to: *mut f32,
    pub n: usize,
    pub kept: f32,
    /// `[CHUNK, n]`.
    pub writer: Matrix,
    /// `[CHUNK, 16 * V ..]`, each times what of it is left at the end.
    pub inputs: Matrix,
}

impl Writing {
    /// # Safety
    /// The matrices are there; the machine has `S`.
    #[inline(always)]
    pub unsafe fn run<S: Isa, const V: usize>(&self) {
        let whole = self.n - self.n % ROWS;
        // SAFETY: the caller's.
        unsafe {
            for i in (0..whole).step_by(ROWS) {
                self.rows::<S, ROWS, V>(i);
            }
            for i in whole..self.n {
                self.rows::<S, 1, V>(i);
            }
        }
    }

    /// # Safety
    /// As for [`Writing::run`].
    #[inline(always)]
    unsafe fn rows<S: Isa, const R: usize, const V: usize>(&self, i: usize) {
        // SAFETY: the caller's.
        unsafe {
            let mut sums = zeros::<S, R, V>();
            for r in 0..R {
                for v in 0..V {
                    let state = S::load(self.from.at(i + r, v * LANES));
                    sums[r][v] = S::mul(state, S::splat(self.kept));
                }
            }
            let writer = self.writer.from(0, i).transposed();
            let sums = multiply::<S, R, V>(sums, writer, self.inputs, CHUNK);
            for r in 0..R {
                for v in 0..V {
                    S::store(self.to.add((i + r) * self.from.stride + v * LANES), sums[r][v]);
                }
            }
        }
    }
}
