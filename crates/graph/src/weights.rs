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
    /// Which rows of the stored tensor these are, where several matrices are stored as one.
    pub slice: Option<RowSlice>,
}

/// Part of the rows of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowSlice {
    /// First stored row.
    pub first: usize,
    /// Rows of the whole stored tensor.
    pub of: usize,
}

impl fmt::Display for WeightDecl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slice {
            None => f.write_str(&self.name),
            Some(slice) => {
                write!(f, "{}[{}..{}]", self.name, slice.first, slice.first + self.shape[0])
            }
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
