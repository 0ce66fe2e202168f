//! Rows of an embedding table.
//!
//! Version 1: a thread makes 32 columns of a row.

use tessera_tile::prelude::*;

use crate::{
    check,
    codes::{Matrix, Planes, STEP},
};

/// `y[row] = scale * table[token of row]`, `[rows, cols]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Embed {
    /// Packing of the table.
    pub matrix: Matrix,
    /// Whether `cols` is not a multiple of 32.
    pub ragged: bool,
}

/// Scalars of [`Embed`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct EmbedArgs {
    /// Rows of the step.
    pub rows: u32,
    /// Columns of the table.
    pub cols: u32,
    /// Rows of the table.
    pub vocab: u32,
    /// Factor.
    pub scale: f32,
}

impl Spec for Embed {
    type Args = EmbedArgs;

    fn threads(&self) -> u32 {
        32
    }

    fn grid(&self, a: &EmbedArgs) -> [u32; 3] {
        [a.cols.div_ceil(STEP).div_ceil(self.threads()), a.rows, 1]
    }

    fn check(&self, a: &EmbedArgs) -> Result<(), String> {
        check::columns(a.cols, self.ragged)
    }
}

#[kernel]
fn embed(
    k: &Embed,
    tokens: In<U32>,
    #[of(k.matrix)] table: Planes,
    y: Out<F32>,
    a: Args<EmbedArgs>,
) {
    let row = group(1);
    let steps = div_ceil(a.cols, STEP);
    let block = group(0) * threads() + thread();
    if block < steps {
        // the host has checked it; a wrong one must not read beyond the table
        let token = min(tokens.at(row), a.vocab - 1);
        let values = table.step(token, block, steps).values();
        let first = block * STEP;
        for i in (0..STEP).step_by(4) {
            if k.ragged {
                for j in i..i + 4 {
                    if first + j < a.cols {
                        y.set(row * a.cols + first + j, values[j as usize] * a.scale);
                    }
                }
            } else {
                let four: [_; 4] = std::array::from_fn(|j| values[i as usize + j] * a.scale);
                y.store(row * a.cols + first + i, four);
            }
        }
    }
}
