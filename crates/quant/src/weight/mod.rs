//! A matrix in some packing.

mod build;
mod check;
mod order;
mod read;

use tessera_formats::Bytes;

use crate::{Form, Packing};
pub use order::RowOrder;

/// A packed matrix `[rows, cols]` (a vector is `[1, len]`), borrowed from a checkpoint.
///
/// The constructors check that all parts fit each other; reading a matrix whose public fields were
/// set to something inconsistent panics.
#[derive(Debug, Clone)]
pub struct Weight {
    /// How elements are stored.
    pub packing: Packing,
    /// Output features.
    pub rows: usize,
    /// Input features: elements of a row.
    pub cols: usize,
    /// Codes, elements or blocks; row after row.
    pub codes: Bytes,
    /// Group scales, row after row, where the packing keeps them apart.
    pub scales: Option<Bytes>,
    /// Group biases, row after row, where the packing has them.
    pub biases: Option<Bytes>,
    /// Order of rows in storage.
    pub order: RowOrder,
}

impl Weight {
    /// The normal form of the packing.
    pub fn form(&self) -> Form {
        self.packing.form()
    }

    /// Bytes of everything stored for its rows: codes, scales and biases.
    pub fn bytes(&self) -> usize {
        let (codes, scales, biases) = self.row_bytes();
        self.rows * (codes + scales + biases)
    }

    /// Bytes of a row of codes, of scales and of biases.
    fn row_bytes(&self) -> (usize, usize, usize) {
        let blocks = self.cols / self.packing.block();
        let (scale, bias) = self.packing.companion_bytes();
        (blocks * self.packing.block_bytes(), blocks * scale, blocks * bias)
    }
}
