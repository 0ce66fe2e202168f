//! Numbers of tensor types.

use crate::{Dtype, GgmlType};

/// Every supported type with its number in the file.
const TYPES: [(u32, Dtype); 21] = [
    (0, Dtype::F32),
    (1, Dtype::F16),
    (2, Dtype::Ggml(GgmlType::Q4_0)),
    (3, Dtype::Ggml(GgmlType::Q4_1)),
    (6, Dtype::Ggml(GgmlType::Q5_0)),
    (7, Dtype::Ggml(GgmlType::Q5_1)),
    (8, Dtype::Ggml(GgmlType::Q8_0)),
    (10, Dtype::Ggml(GgmlType::Q2_K)),
    (11, Dtype::Ggml(GgmlType::Q3_K)),
    (12, Dtype::Ggml(GgmlType::Q4_K)),
    (13, Dtype::Ggml(GgmlType::Q5_K)),
    (14, Dtype::Ggml(GgmlType::Q6_K)),
    (20, Dtype::Ggml(GgmlType::IQ4_NL)),
    (23, Dtype::Ggml(GgmlType::IQ4_XS)),
    (24, Dtype::I8),
    (25, Dtype::I16),
    (26, Dtype::I32),
    (27, Dtype::I64),
    (28, Dtype::F64),
    (30, Dtype::BF16),
    (39, Dtype::Ggml(GgmlType::MXFP4)),
];

/// The type that a GGUF type number stands for; `None` when it is unknown or not supported.
pub fn type_of(number: u32) -> Option<Dtype> {
    TYPES.iter().find(|entry| entry.0 == number).map(|entry| entry.1)
}

/// The GGUF number of a type; `None` when GGUF has no such type.
pub fn type_number(dtype: Dtype) -> Option<u32> {
    TYPES.iter().find(|entry| entry.1 == dtype).map(|entry| entry.0)
}
