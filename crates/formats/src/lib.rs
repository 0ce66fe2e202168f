//! Files as people have them: safetensors, GGUF and their configuration, read as tensor views.
//!
//! Nothing here does arithmetic. A [`Checkpoint`] names its tensors and hands out their bytes,
//! still where the file is mapped; what the bytes mean is `tessera-quant`'s business.
//!
//! Every byte read here comes from outside and is hostile until proven otherwise: counts, sizes and
//! offsets are bounded before use, and every error names the file, the value and the limit.

mod bytes;
mod checkpoint;
mod config;
mod dtype;
mod error;
pub mod gguf;
mod json;
mod map;
mod pairs;
mod quantization;
pub mod safetensors;

pub use bytes::{Bytes, Map};
pub use checkpoint::{Checkpoint, Kind};
pub use config::Config;
pub use dtype::{Dtype, GgmlType};
pub use error::{Error, Result};
pub use quantization::{QuantMode, Quantization, TensorQuant};

/// One tensor of a checkpoint: a name, a type, a shape and its bytes, not yet decoded.
#[derive(Debug, Clone)]
pub struct Tensor {
    /// Name as the file spells it.
    pub name: String,
    /// Element (or block) type.
    pub dtype: Dtype,
    /// Dimensions, outermost first: a linear weight is `[out_features, in_features]`
    /// (GGUF stores them the other way round; they are turned here).
    pub shape: Vec<usize>,
    /// The tensor's bytes, exactly `dtype.bytes(shape)` long.
    pub bytes: Bytes,
}

/// The tensor of that name among tensors sorted by name.
fn find<'a>(tensors: &'a [Tensor], name: &str) -> Option<&'a Tensor> {
    let found = tensors.binary_search_by(|tensor| tensor.name.as_str().cmp(name)).ok()?;
    Some(&tensors[found])
}
