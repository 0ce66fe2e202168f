//! The rows whose logits are wanted.
//!
//! Version 1: a thread an element.

use tessera_tile::prelude::*;

/// `y[i] = x[rows_of[i]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct SelectRows;

/// Scalars of [`SelectRows`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct SelectRowsArgs {
    /// Rows of `y`.
    pub rows: u32,
    /// Elements of a row.
    pub width: u32,
}

impl Spec for SelectRows {
    type Args = SelectRowsArgs;

    fn threads(&self) -> u32 {
        128
    }

    fn grid(&self, a: &SelectRowsArgs) -> [u32; 3] {
        [a.width.div_ceil(128), a.rows, 1]
    }

    fn check(&self, _: &SelectRowsArgs) -> Result<(), String> {
        Ok(())
    }
}

#[kernel]
fn select_rows(
    _k: &SelectRows,
    x: In<F32>,
    rows_of: In<U32>,
    y: Out<F32>,
    a: Args<SelectRowsArgs>,
) {
    let (row, i) = (group(1), group(0) * threads() + thread());
    if i < a.width {
        y.set(row * a.width + i, x.at(rows_of.at(row) * a.width + i));
    }
}
