//! Element and block types of stored tensors.

/// Type of a stored tensor's elements, or of its blocks for GGUF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the standard ones
pub enum Dtype {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    BF16,
    F32,
    F64,
    F8E4M3,
    F8E5M2,
    F8E8M0,
    /// A GGUF block type that is none of the above.
    Ggml(GgmlType),
}

/// GGUF block types: `block` elements in `bytes` bytes.
///
/// Numbers and layouts follow the GGUF format document (ggml's `docs/gguf.md`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, non_camel_case_types)] // the names are the standard ones
pub enum GgmlType {
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2_K,
    Q3_K,
    Q4_K,
    Q5_K,
    Q6_K,
    IQ4_NL,
    IQ4_XS,
    MXFP4,
}

impl GgmlType {
    /// `(elements, bytes)` of one block.
    pub fn block(self) -> (usize, usize) {
        use GgmlType::*;
        match self {
            Q4_0 | IQ4_NL => (32, 18),
            Q4_1 => (32, 20),
            Q5_0 => (32, 22),
            Q5_1 => (32, 24),
            Q8_0 => (32, 34),
            MXFP4 => (32, 17),
            Q2_K => (256, 84),
            Q3_K => (256, 110),
            Q4_K => (256, 144),
            Q5_K => (256, 176),
            Q6_K => (256, 210),
            IQ4_XS => (256, 136),
        }
    }
}

impl Dtype {
    /// `(elements, bytes)` of the smallest addressable unit along a row.
    pub fn block(self) -> (usize, usize) {
        match self {
            Self::Bool | Self::U8 | Self::I8 | Self::F8E4M3 | Self::F8E5M2 | Self::F8E8M0 => (1, 1),
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => (1, 2),
            Self::U32 | Self::I32 | Self::F32 => (1, 4),
            Self::U64 | Self::I64 | Self::F64 => (1, 8),
            Self::Ggml(t) => t.block(),
        }
    }

    /// Bytes of a tensor of this type and shape (outermost dimension first), or `None` when the
    /// product overflows or a row is not a whole number of blocks.
    pub fn bytes(self, shape: &[usize]) -> Option<usize> {
        let (elements, bytes) = self.block();
        let row = shape.last().copied().unwrap_or(1);
        if row % elements != 0 {
            return None;
        }
        let outer = shape.iter().rev().skip(1).try_fold(1usize, |n, &d| n.checked_mul(d))?;
        (row / elements).checked_mul(bytes)?.checked_mul(outer)
    }
}
