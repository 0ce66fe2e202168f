//! What can be wrong with a matrix.

use tessera_formats::Dtype;

use crate::Packing;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A tensor that cannot be a weight, or a request that a weight cannot serve.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The shape is not that of a matrix or vector, or has a zero in it.
    #[error(
        "tensor `{tensor}` has shape {shape:?}; a weight is [rows, cols] or [len], none of them 0"
    )]
    Shape {
        /// Name in the file.
        tensor: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// The element type is none that a weight may have in this place.
    #[error("tensor `{tensor}` has type {dtype:?}, but {expected} is needed")]
    Dtype {
        /// Name in the file.
        tensor: String,
        /// Its type.
        dtype: Dtype,
        /// The types that would do.
        expected: &'static str,
    },
    /// Fewer or more bytes than type and shape call for.
    #[error("tensor `{tensor}` holds {bytes} bytes, but its type and shape need {expected}")]
    Length {
        /// Name in the file.
        tensor: String,
        /// Bytes there are.
        bytes: usize,
        /// Bytes there must be.
        expected: usize,
    },
    /// A row that is not a whole number of groups or blocks.
    #[error(
        "tensor `{tensor}` has rows of {cols} elements, not a multiple of its group of {group}"
    )]
    Group {
        /// Name in the file.
        tensor: String,
        /// Elements of a row.
        cols: usize,
        /// Elements of a group or block.
        group: usize,
    },
    /// Scales or biases that do not belong to these codes.
    #[error("tensor `{tensor}` has shape {shape:?}, but the codes it belongs to need {expected:?}")]
    Companion {
        /// Name of the scales or biases.
        tensor: String,
        /// Their shape.
        shape: Vec<usize>,
        /// `[rows, groups of a row]`.
        expected: [usize; 2],
    },
    /// Bits, group size or mode that no packing has.
    #[error(
        "tensor `{tensor}`: {mode} quantisation with {bits} bits in groups of {group} is not supported"
    )]
    Recipe {
        /// Name of the codes.
        tensor: String,
        /// Name of the mode.
        mode: &'static str,
        /// Bits of a code.
        bits: u8,
        /// Elements of a group.
        group: usize,
    },
    /// Biases missing where the packing needs them, or present where it has none.
    #[error("tensor `{tensor}`: {mode} quantisation {}", if *.needed { "needs biases; there are none" } else { "has no biases; remove them" })]
    Biases {
        /// Name of the codes.
        tensor: String,
        /// Name of the mode.
        mode: &'static str,
        /// Whether they are missing.
        needed: bool,
    },
    /// A scale, bias or plain value that is NaN or infinite.
    #[error(
        "tensor `{tensor}`: stored row {row} holds a scale or value that is NaN or infinite; the file is damaged"
    )]
    NotFinite {
        /// Name given by the caller.
        tensor: String,
        /// Row in storage.
        row: usize,
    },
    /// A row order that does not divide the rows.
    #[error("{rows} rows cannot be {heads} heads of neighbouring pairs")]
    Heads {
        /// Rows of the matrix.
        rows: usize,
        /// Heads asked for.
        heads: usize,
    },
    /// A slice outside the matrix, empty, or across paired rows.
    #[error("rows {start}..{start}+{len} cannot be sliced out of {rows} rows in groups of {unit}")]
    Slice {
        /// First row asked for.
        start: usize,
        /// Number of rows asked for.
        len: usize,
        /// Rows of the matrix.
        rows: usize,
        /// Slices must be multiples of this: 1, or the rows of a head where rows are paired.
        unit: usize,
    },
    /// A transpose of what is not plain floats, row after row.
    #[error("a matrix of {packing:?} cannot be transposed: its blocks lie along its rows")]
    Turned {
        /// Its packing.
        packing: Packing,
    },
    /// Values to encode that do not fill the matrix or do not fit the packing.
    #[error("{values} values cannot be encoded as {rows} x {cols} of {packing:?}")]
    Encode {
        /// Number of values given.
        values: usize,
        /// Rows asked for.
        rows: usize,
        /// Elements of a row asked for.
        cols: usize,
        /// Packing asked for.
        packing: Packing,
    },
}
