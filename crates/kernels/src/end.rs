//! What becomes of products: of decoding's ([`matvec`](crate::matvec)) and of prompts' ([`matmul`](crate::matmul)).

use tessera_tile::prelude::*;

use crate::{check::ensure, unit::Unit};

/// What becomes of the products of a matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub enum End {
    /// They are results, of this many parts (1 to 3), whose matrices are one under the other.
    Parts(u32),
    /// The residual is added.
    Residual,
    /// The result is a unit's. The matrix of a gated one is the gate's and what it lets through, one under the other.
    Unit(Unit),
}

impl End {
    /// Number of results.
    pub(crate) fn parts(self) -> u32 {
        match self {
            Self::Parts(parts) => parts,
            _ => 1,
        }
    }

    /// The unit, if there is one.
    pub(crate) fn unit(self) -> Option<Unit> {
        match self {
            Self::Unit(unit) => Some(unit),
            _ => None,
        }
    }

    /// How many matrices are one under the other for one result.
    pub(crate) fn halves(self) -> u32 {
        1 + u32::from(self.unit().is_some_and(Unit::is_gated))
    }

    /// A result, made of the product of each half's row. `alpha` and `limit` are the unit's.
    pub(crate) fn result(
        self,
        product: impl Fn(u32) -> Val<f32>,
        alpha: Val<f32>,
        limit: Val<f32>,
    ) -> Val<f32> {
        match self.unit() {
            None => product(0),
            Some(unit) if unit.is_gated() => unit.apply(Some(product(0)), product(1), alpha, limit),
            Some(unit) => unit.apply(None, product(0), alpha, limit),
        }
    }

    /// Whether it can be made of `rows` rows, of which `first` and `second` are those of the first parts.
    pub(crate) fn check(self, rows: u32, first: u32, second: u32) -> Result<(), String> {
        let parts = match self.parts() {
            1 => 0,
            2 => first,
            _ => first.saturating_add(second),
        };
        let there = (1..=3).contains(&self.parts()) && parts <= rows;
        ensure!(there, "{} parts of {rows} rows", self.parts());
        let halves = rows.is_multiple_of(self.halves());
        ensure!(halves, "a gate and what it lets through in {rows} rows");
        Ok(())
    }
}

/// A result of several, and its number of rows.
pub(crate) type Part = (Out<F32>, Val<u32>);

/// The results of `rows` rows in all, of which `first` and `second` are those of the first ones.
pub(crate) fn parts(
    outs: (Out<F32>, Option<Out<F32>>, Option<Out<F32>>),
    rows: Val<u32>,
    first: Val<u32>,
    second: Val<u32>,
) -> Vec<Part> {
    match outs {
        (y, None, _) => vec![(y, rows)],
        (y, Some(next), None) => vec![(y, first), (next, rows - first)],
        (y, Some(next), Some(last)) => {
            vec![(y, first), (next, second), (last, rows - first - second)]
        }
    }
}

/// Writes a product to the part that its row belongs to; parts come with their rows.
#[device]
pub(crate) fn put(parts: &[Part], vector: Val<u32>, row: Val<u32>, sum: Val<f32>) {
    let (y, rows) = parts[0];
    if parts.len() == 1 {
        y.set(vector * rows + row, sum);
    } else {
        if row < rows {
            y.set(vector * rows + row, sum);
        } else {
            put(&parts[1..], vector, row - rows, sum);
        }
    }
}
