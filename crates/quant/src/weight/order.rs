//! Rows: their order in storage, and ranges of them.

use tessera_formats::Bytes;

use super::Weight;
use crate::{Error, Packing, Result};

/// Order of a matrix's rows in storage, against the order in which they are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum RowOrder {
    /// Row `r` is stored at `r`.
    #[default]
    Plain,
    /// Within each of `heads` equal groups of `2 * half` rows, row `p * half + i` (`p` 0 or 1) is stored at
    /// `2 * i + p`: GGUF files of the llama architecture pair neighbours for rotary embedding.
    Paired {
        /// Number of groups.
        heads: usize,
    },
    /// Stripes of `stripe` rows, the first at `first`, each `stride` rows after the one before: matrices that
    /// are stored interleaved, head by head. Storage holds the other rows too.
    Striped {
        /// Stored row of the first.
        first: usize,
        /// Rows of a stripe.
        stripe: usize,
        /// From the beginning of a stripe to that of the next.
        stride: usize,
    },
    /// Rows are columns of storage, which is of plain floats: row `r` is column `first + r * stride`. Storage holds the
    /// other columns too.
    Turned {
        /// Stored column of the first.
        first: usize,
        /// From a row's column to that of the next.
        stride: usize,
        /// Columns of storage.
        width: usize,
    },
}

impl Weight {
    /// This matrix with its rows stored in `order`.
    ///
    /// # Errors
    /// [`Error::Heads`] when the rows are not that many heads of an even number of rows.
    pub fn with_order(mut self, order: RowOrder) -> Result<Self> {
        if let RowOrder::Paired { heads } = order {
            let pairs = heads.checked_mul(2).filter(|&n| n > 0 && self.rows.is_multiple_of(n));
            if pairs.is_none() {
                return Err(Error::Heads { rows: self.rows, heads });
            }
        }
        self.order = order;
        Ok(self)
    }

    /// Where row `row` (as named) is stored; which column it is of a [`RowOrder::Turned`] matrix.
    pub fn stored_row(&self, row: usize) -> usize {
        match self.order {
            RowOrder::Plain => row,
            RowOrder::Paired { heads } => {
                let head = self.rows / heads;
                let (first, within) = (row / head * head, row % head);
                let (part, i) = (within / (head / 2), within % (head / 2));
                first + 2 * i + part
            }
            RowOrder::Striped { first, stripe, stride } => {
                first + row / stripe * stride + row % stripe
            }
            RowOrder::Turned { first, stride, .. } => first + row * stride,
        }
    }

    /// `rows` rows of this matrix, in stripes of `stripe` rows every `stride` rows from `first`, sharing
    /// storage with it.
    ///
    /// # Errors
    /// [`Error::Slice`] when stripes are empty, overlap, are not whole or reach past the end, or this
    /// matrix's own rows are not in plain order.
    pub fn stripes(&self, first: usize, stripe: usize, stride: usize, rows: usize) -> Result<Self> {
        let error = || Error::Slice { start: first, len: rows, rows: self.rows, unit: stripe };
        if stripe == 0 || rows == 0 || !rows.is_multiple_of(stripe) || stride < stripe {
            return Err(error());
        }
        let last = (rows / stripe - 1).checked_mul(stride).and_then(|n| n.checked_add(first));
        let end = last.and_then(|last| last.checked_add(stripe));
        if self.order != RowOrder::Plain || end.is_none_or(|end| end > self.rows) {
            return Err(error());
        }
        Ok(Self { rows, order: RowOrder::Striped { first, stripe, stride }, ..self.clone() })
    }

    /// The transpose of this matrix of plain floats, `rows` rows of it: every `stride`-th from `first`. It shares storage
    /// with it.
    ///
    /// # Errors
    /// [`Error::Turned`] when this matrix is packed or its own rows are not in plain order; [`Error::Slice`] when there
    /// are no such rows.
    pub fn turned(&self, first: usize, stride: usize, rows: usize) -> Result<Self> {
        if !matches!((self.packing, self.order), (Packing::Dense(_), RowOrder::Plain)) {
            return Err(Error::Turned { packing: self.packing });
        }
        let last = rows.checked_sub(1).and_then(|steps| steps.checked_mul(stride));
        let last = last.and_then(|last| last.checked_add(first));
        if stride == 0 || last.is_none_or(|last| last >= self.cols) {
            return Err(Error::Slice { start: first, len: rows, rows: self.cols, unit: stride });
        }
        let order = RowOrder::Turned { first, stride, width: self.cols };
        Ok(Self { rows, cols: self.rows, order, ..self.clone() })
    }

    /// Rows `start..start + len` (as named), sharing storage with this matrix.
    ///
    /// # Errors
    /// [`Error::Slice`] when the range is empty or reaches past the end, or where rows are paired
    /// and it is not whole heads.
    pub fn slice_rows(&self, start: usize, len: usize) -> Result<Self> {
        let (unit, order) = match self.order {
            RowOrder::Plain => (1, RowOrder::Plain),
            RowOrder::Paired { heads } => {
                let unit = self.rows / heads;
                (unit, RowOrder::Paired { heads: len / unit })
            }
            // none of these is cut again
            RowOrder::Striped { stripe: unit, .. } | RowOrder::Turned { stride: unit, .. } => {
                return Err(Error::Slice { start, len, rows: self.rows, unit });
            }
        };
        let error = || Error::Slice { start, len, rows: self.rows, unit };
        let end = start.checked_add(len).filter(|&end| len > 0 && end <= self.rows);
        if end.is_none() || !start.is_multiple_of(unit) || !len.is_multiple_of(unit) {
            return Err(error());
        }
        let part = |bytes: &Bytes, row| bytes.slice(start * row, len * row).ok_or_else(error);
        let companion =
            |bytes: &Option<Bytes>, row| bytes.as_ref().map(|b| part(b, row)).transpose();
        let (codes, scales, biases) = self.row_bytes();
        Ok(Self {
            codes: part(&self.codes, codes)?,
            scales: companion(&self.scales, scales)?,
            biases: companion(&self.biases, biases)?,
            rows: len,
            order,
            ..self.clone()
        })
    }
}
