//! The tensors of a checkpoint.

use serde::Serialize;
use tessera_formats::{Checkpoint, Dtype, Tensor};

use crate::{table::Table, units};

/// One tensor, as its file stores it.
#[derive(Debug, Clone, Serialize)]
pub struct TensorRow {
    name: String,
    dtype: String,
    shape: Vec<usize>,
    bytes: u64,
}

/// All tensors, sorted by name.
pub fn rows(checkpoint: &Checkpoint) -> Vec<TensorRow> {
    checkpoint.tensors().map(row).collect()
}

fn row(tensor: &Tensor) -> TensorRow {
    let dtype = match tensor.dtype {
        Dtype::Ggml(block) => format!("{block:?}"),
        dtype => format!("{dtype:?}"),
    };
    TensorRow {
        name: tensor.name.clone(),
        dtype: dtype.to_lowercase(),
        shape: tensor.shape.clone(),
        bytes: tensor.bytes.len() as u64,
    }
}

/// The rows for people.
pub fn table(rows: &[TensorRow]) -> Table {
    let mut table = Table::new(&["TENSOR", "TYPE", "SHAPE", "SIZE"]).right(3);
    for row in rows {
        let shape: Vec<String> = row.shape.iter().map(usize::to_string).collect();
        table.row([
            row.name.clone(),
            row.dtype.clone(),
            shape.join(" x "),
            units::bytes(row.bytes),
        ]);
    }
    table
}
