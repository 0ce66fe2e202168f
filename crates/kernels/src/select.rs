//! The rows whose logits are wanted.
//!
//! Version 1: a thread an element.

use tessera_tile::prelude::*;

/// `y[i] = x[rows_of[i]]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Select;

/// Scalars of [`Select`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct SelectArgs {
    /// Rows of `y`.
    pub rows: u32,
    /// Elements of a row.
    pub width: u32,
}

impl Spec for Select {
    type Args = SelectArgs;

    fn name(&self) -> String {
        "select_rows".into()
    }

    fn threads(&self) -> u32 {
        128
    }

    fn grid(&self, a: &SelectArgs) -> [u32; 3] {
        [a.width.div_ceil(128), a.rows, 1]
    }

    fn check(&self, _: &SelectArgs) -> Result<(), String> {
        Ok(())
    }
}

#[kernel]
fn select_rows(_k: &Select, x: In<F32>, rows_of: In<U32>, y: Out<F32>, a: Args<SelectArgs>) {
    let (row, i) = (group(1), group(0) * threads() + thread());
    if i < a.width {
        y.set(row * a.width + i, x.at(rows_of.at(row) * a.width + i));
    }
}
