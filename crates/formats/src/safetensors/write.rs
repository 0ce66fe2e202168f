//! Writing safetensors files.

use std::{borrow::Cow, collections::HashMap, io, path::Path};

use ::safetensors::{Dtype as Kind, SafeTensorError, View};

use crate::{Dtype, Error, Result, Tensor, error::quote};

/// Writes tensors to a new file, with `metadata` strings such as `("format", "mlx")`.
///
/// # Errors
///
/// [`Error::Dtype`] for a GGUF block type, [`Error::Tensor`] when a tensor's bytes do not fit its
/// shape, and what the system says of the file.
pub fn write(path: &Path, tensors: &[Tensor], metadata: &[(&str, &str)]) -> Result<()> {
    let views = tensors
        .iter()
        .map(|tensor| Ok((tensor.name.as_str(), TensorView::new(tensor, path)?)))
        .collect::<Result<Vec<_>>>()?;
    let metadata: HashMap<String, String> =
        metadata.iter().map(|&(key, value)| (key.into(), value.into())).collect();
    let metadata = (!metadata.is_empty()).then_some(metadata);
    ::safetensors::serialize_to_file(views, metadata, path).map_err(|error| Error::Io {
        path: path.into(),
        source: match error {
            SafeTensorError::IoError(source) => source,
            other => io::Error::other(other),
        },
    })
}

/// A tensor that the `safetensors` crate can write.
struct TensorView<'a> {
    tensor: &'a Tensor,
    kind: Kind,
}

impl<'a> TensorView<'a> {
    fn new(tensor: &'a Tensor, path: &Path) -> Result<Self> {
        if tensor.dtype.bytes(&tensor.shape) != Some(tensor.bytes.len()) {
            let (len, shape) = (tensor.bytes.len(), &tensor.shape);
            let problem = format!("{len} bytes do not fit {:?} of shape {shape:?}", tensor.dtype);
            return Err(Error::Tensor { path: path.into(), tensor: quote(&tensor.name), problem });
        }
        Ok(Self { tensor, kind: kind(tensor, path)? })
    }
}

fn kind(tensor: &Tensor, path: &Path) -> Result<Kind> {
    Ok(match tensor.dtype {
        Dtype::Bool => Kind::BOOL,
        Dtype::U8 => Kind::U8,
        Dtype::I8 => Kind::I8,
        Dtype::U16 => Kind::U16,
        Dtype::I16 => Kind::I16,
        Dtype::U32 => Kind::U32,
        Dtype::I32 => Kind::I32,
        Dtype::U64 => Kind::U64,
        Dtype::I64 => Kind::I64,
        Dtype::F16 => Kind::F16,
        Dtype::BF16 => Kind::BF16,
        Dtype::F32 => Kind::F32,
        Dtype::F64 => Kind::F64,
        Dtype::F8E4M3 => Kind::F8_E4M3,
        Dtype::F8E5M2 => Kind::F8_E5M2,
        Dtype::F8E8M0 => Kind::F8_E8M0,
        Dtype::Ggml(block) => {
            let (path, dtype) = (path.into(), format!("{block:?}"));
            return Err(Error::Dtype { path, tensor: quote(&tensor.name), dtype });
        }
    })
}

impl View for TensorView<'_> {
    fn dtype(&self) -> Kind {
        self.kind
    }

    fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.tensor.bytes)
    }

    fn data_len(&self) -> usize {
        self.tensor.bytes.len()
    }
}
