//! Weights as the graph names them, and as they are bound.

use std::fmt;

use crate::WeightId;

/// A weight the graph consumes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightDecl {
    /// Name of the stored tensor, for errors and printing; the Hugging Face spelling.
    pub name: String,
    /// `[rows, cols]` for a matrix; a vector is `[1, len]`.
    pub shape: [usize; 2],
    /// Which rows of the stored tensor these are, where several matrices are stored as one; of a vector,
    /// which elements.
    pub slice: Option<RowSlice>,
}

/// Part of the rows of a stored tensor: stripes of equal height at equal distances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowSlice {
    /// First stored row.
    pub first: usize,
    /// Rows of a stripe.
    pub stripe: usize,
    /// From the beginning of a stripe to that of the next.
    pub stride: usize,
    /// Rows of the whole stored tensor.
    pub of: usize,
}

impl RowSlice {
    /// `rows` neighbouring rows.
    pub fn rows(first: usize, rows: usize, of: usize) -> Self {
        Self { first, stripe: rows, stride: rows, of }
    }

    /// Where row `row` of the slice is stored.
    pub fn stored(&self, row: usize) -> usize {
        self.first + row / self.stripe * self.stride + row % self.stripe
    }

    /// Whether `rows` rows of it lie within the stored tensor, each once.
    pub fn fits(&self, rows: usize) -> bool {
        let whole = self.stripe > 0 && rows > 0 && rows.is_multiple_of(self.stripe);
        let last = || {
            let before = (rows / self.stripe - 1).checked_mul(self.stride)?;
            self.first.checked_add(before)?.checked_add(self.stripe)
        };
        whole && self.stride >= self.stripe && last().is_some_and(|end| end <= self.of)
    }
}

impl fmt::Display for WeightDecl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = if self.shape[0] == 1 { self.shape[1] } else { self.shape[0] };
        match self.slice {
            None => f.write_str(&self.name),
            Some(RowSlice { first, stripe, stride, .. }) if stripe < rows => {
                write!(f, "{}[{first}.. by {stripe} of {stride}]", self.name)
            }
            Some(RowSlice { first, .. }) => write!(f, "{}[{first}..{}]", self.name, first + rows),
        }
    }
}

/// The graph's weights, bound to a checkpoint's packed bytes: one for each
/// [`WeightDecl`], in order.
#[derive(Debug, Clone, Default)]
pub struct Weights(pub Vec<tessera_quant::Weight>);

impl std::ops::Index<WeightId> for Weights {
    type Output = tessera_quant::Weight;

    fn index(&self, id: WeightId) -> &Self::Output {
        &self.0[id.index()]
    }
}
