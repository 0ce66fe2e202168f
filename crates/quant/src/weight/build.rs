//! Weights from tensors: everything is checked here, so that reading cannot go wrong.

use tessera_formats::{Dtype, QuantMode, Tensor, TensorQuant};

use super::{RowOrder, Weight};
use crate::{Error, Float, Packing, Result};

impl Weight {
    /// A matrix of plain floats or GGUF blocks; a vector becomes a matrix of one row.
    ///
    /// # Errors
    /// When the tensor is no matrix or vector, has a zero dimension, is of a type that is neither
    /// f32, f16, bf16 nor a GGUF block, or its bytes do not fit its shape.
    pub fn from_tensor(tensor: &Tensor) -> Result<Self> {
        let packing = match tensor.dtype {
            Dtype::Ggml(kind) => Packing::Ggml(kind),
            dtype => Packing::Dense(float(dtype).ok_or_else(|| Error::Dtype {
                tensor: tensor.name.clone(),
                dtype,
                expected: "F32, F16, BF16 or a GGUF block type",
            })?),
        };
        let [rows, cols] = matrix_shape(tensor)?;
        let group = packing.block();
        if !cols.is_multiple_of(group) {
            return Err(Error::Group { tensor: tensor.name.clone(), cols, group });
        }
        check_length(tensor)?;
        Ok(Self {
            packing,
            rows,
            cols,
            codes: tensor.bytes.clone(),
            scales: None,
            biases: None,
            order: RowOrder::Plain,
        })
    }

    /// A matrix quantised by mlx: codes `[rows, words]` in 32-bit words, scales (and biases)
    /// `[rows, groups]`.
    ///
    /// # Errors
    /// When the recipe is none of [`Packing`]'s, a type or shape does not fit it, biases are missing
    /// or superfluous, or bytes do not fit shapes.
    pub fn from_mlx(
        weight: &Tensor,
        scales: &Tensor,
        biases: Option<&Tensor>,
        quant: &TensorQuant,
    ) -> Result<Self> {
        let packing = mlx_packing(weight, scales, quant)?;
        let Dtype::U32 = weight.dtype else {
            return Err(wrong_type(weight, "U32"));
        };
        check_length(weight)?;
        let [rows, words] = matrix_shape(weight)?;
        let (block, bits) = (packing.block(), packing.block_bytes() * 8);
        // Elements of a row: `words * 32` bits at `bits / block` bits each.
        let cols = words.saturating_mul(32).saturating_mul(block) / bits;
        if cols == 0 || !words.saturating_mul(32).is_multiple_of(bits) {
            return Err(Error::Group { tensor: weight.name.clone(), cols, group: block });
        }
        check_companion(scales, rows, cols / block)?;
        let mode = quant.mode.name();
        let biased = matches!(packing, Packing::Affine { .. });
        if biased != biases.is_some() {
            return Err(Error::Biases { tensor: weight.name.clone(), mode, needed: biased });
        }
        if let Some(biases) = biases {
            check_companion(biases, rows, cols / block)?;
            if biases.dtype != scales.dtype {
                return Err(wrong_type(biases, "the type of its scales"));
            }
        }
        Ok(Self {
            packing,
            rows,
            cols,
            codes: weight.bytes.clone(),
            scales: Some(scales.bytes.clone()),
            biases: biases.map(|b| b.bytes.clone()),
            order: RowOrder::Plain,
        })
    }
}

/// The packing that a recipe and the type of its scales make.
fn mlx_packing(weight: &Tensor, scales: &Tensor, quant: &TensorQuant) -> Result<Packing> {
    let TensorQuant { bits, group_size: group, mode } = *quant;
    let unsupported =
        || Error::Recipe { tensor: weight.name.clone(), mode: mode.name(), bits, group };
    let packing = match mode {
        QuantMode::Affine => {
            let scale =
                float(scales.dtype).ok_or_else(|| wrong_type(scales, "F32, F16 or BF16"))?;
            let group = u16::try_from(group).map_err(|_| unsupported())?;
            let packing = Packing::Affine { bits, group, scale };
            return packing.is_valid().then_some(packing).ok_or_else(unsupported);
        }
        QuantMode::Mxfp4 => Packing::Mxfp4,
        QuantMode::Nvfp4 => Packing::Nvfp4,
        QuantMode::Mxfp8 => Packing::Mxfp8,
    };
    if mode.fixed() != Some((bits, group)) {
        return Err(unsupported());
    }
    match scales.dtype {
        Dtype::U8 | Dtype::F8E8M0 | Dtype::F8E4M3 => Ok(packing),
        _ => Err(wrong_type(scales, "U8")),
    }
}

fn float(dtype: Dtype) -> Option<Float> {
    match dtype {
        Dtype::F32 => Some(Float::F32),
        Dtype::F16 => Some(Float::F16),
        Dtype::BF16 => Some(Float::BF16),
        _ => None,
    }
}

fn wrong_type(tensor: &Tensor, expected: &'static str) -> Error {
    Error::Dtype { tensor: tensor.name.clone(), dtype: tensor.dtype, expected }
}

/// `[rows, cols]` of a matrix or vector without zero dimensions. A stack of matrices is one matrix with the
/// rows of all; the kernels of a depthwise convolution, of which some files have `[channels, 1, kernel]` and
/// others `[channels, kernel, 1]`, are a row each.
fn matrix_shape(tensor: &Tensor) -> Result<[usize; 2]> {
    let shape = match tensor.shape[..] {
        [len] => Some([1, len]),
        [rows, cols] => Some([rows, cols]),
        [rows, cols, 1] => Some([rows, cols]),
        [stack, rows, cols] => stack.checked_mul(rows).map(|rows| [rows, cols]),
        _ => None,
    };
    shape
        .filter(|&[rows, cols]| rows > 0 && cols > 0)
        .ok_or_else(|| Error::Shape { tensor: tensor.name.clone(), shape: tensor.shape.clone() })
}

fn check_length(tensor: &Tensor) -> Result<()> {
    let expected = tensor.dtype.bytes(&tensor.shape);
    if expected == Some(tensor.bytes.len()) {
        return Ok(());
    }
    Err(Error::Length {
        tensor: tensor.name.clone(),
        bytes: tensor.bytes.len(),
        expected: expected.unwrap_or(usize::MAX),
    })
}

fn check_companion(tensor: &Tensor, rows: usize, groups: usize) -> Result<()> {
    // of a stack's scales, the rows of all; one group a row is no kernel of a convolution
    let found = tensor.shape.split_last().and_then(|(&last, outer)| {
        let outer = outer.iter().try_fold(1usize, |rows, &dim| rows.checked_mul(dim))?;
        Some([outer, last])
    });
    if found != Some([rows, groups]) {
        return Err(Error::Companion {
            tensor: tensor.name.clone(),
            shape: tensor.shape.clone(),
            expected: [rows, groups],
        });
    }
    check_length(tensor)
}
