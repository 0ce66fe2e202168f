//! The packings.

use tessera_formats::{Dtype, GgmlType, gguf};

/// Floating-point storage types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)] // the names are the standard ones
pub enum Float {
    F32,
    F16,
    BF16,
}

impl Float {
    /// Bytes of one value.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

/// How a matrix's elements are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Packing {
    /// Plain floats.
    Dense(Float),
    /// mlx affine groups: `w = scale * code + bias`; codes packed little-endian along the row in
    /// 32-bit words (2, 4, 8 bits: `32 / bits` a word; 3, 5, 6 bits: a continuous bit stream).
    Affine {
        /// Bits of a code: 2, 3, 4, 5, 6 or 8.
        bits: u8,
        /// Elements of a group: 32, 64 or 128.
        group: u16,
        /// Type of scales and biases.
        scale: Float,
    },
    /// OCP microscaling fp4: e2m1 codes, groups of 32, e8m0 scales.
    Mxfp4,
    /// NVIDIA fp4: e2m1 codes, groups of 16, e4m3 scales.
    Nvfp4,
    /// OCP microscaling fp8: e4m3 codes, groups of 32, e8m0 scales.
    Mxfp8,
    /// GGUF blocks, scales inside.
    Ggml(GgmlType),
}

impl Packing {
    /// Every packing: plain floats, mlx's, then GGUF's in the order of their numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        const FLOATS: [Float; 3] = [Float::F32, Float::F16, Float::BF16];
        let affine = [2, 3, 4, 5, 6, 8].into_iter().flat_map(|bits| {
            [32, 64, 128]
                .into_iter()
                .flat_map(move |group| FLOATS.map(|scale| Self::Affine { bits, group, scale }))
        });
        let ggml = (0..=u32::from(u8::MAX)).filter_map(|number| match gguf::type_of(number)? {
            Dtype::Ggml(kind) => Some(Self::Ggml(kind)),
            _ => None,
        });
        let dense = FLOATS.into_iter().map(Self::Dense);
        dense.chain(affine).chain([Self::Mxfp4, Self::Nvfp4, Self::Mxfp8]).chain(ggml)
    }

    /// Elements that are stored together: a row is a whole number of them.
    pub fn block(self) -> usize {
        match self {
            Self::Dense(_) => 1,
            Self::Affine { group, .. } => usize::from(group),
            Self::Mxfp4 | Self::Mxfp8 => 32,
            Self::Nvfp4 => 16,
            Self::Ggml(kind) => kind.block().0,
        }
    }

    /// Bytes of the codes (GGUF: of the whole blocks) of one [`Packing::block`].
    pub(crate) fn block_bytes(self) -> usize {
        match self {
            Self::Dense(float) => float.bytes(),
            Self::Affine { bits, group, .. } => usize::from(bits) * usize::from(group) / 8,
            Self::Mxfp4 => 16,
            Self::Nvfp4 => 8,
            Self::Mxfp8 => 32,
            Self::Ggml(kind) => kind.block().1,
        }
    }

    /// Bytes of the separately stored scale of one group, and of its bias.
    pub(crate) fn companion_bytes(self) -> (usize, usize) {
        match self {
            Self::Dense(_) | Self::Ggml(_) => (0, 0),
            Self::Affine { scale, .. } => (scale.bytes(), scale.bytes()),
            Self::Mxfp4 | Self::Nvfp4 | Self::Mxfp8 => (1, 0),
        }
    }

    /// Whether this is one of the packings described above: bits and groups have few legal values.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::Affine { bits, group, .. } => {
                matches!(bits, 2..=6 | 8) && matches!(group, 32 | 64 | 128)
            }
            _ => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn all_are_listed_once() {
        let all: Vec<Packing> = Packing::all().collect();
        assert_eq!(all.len(), 3 + 6 * 3 * 3 + 3 + 13);
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert!(all.iter().all(|packing| packing.is_valid()));
    }
}
