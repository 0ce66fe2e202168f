//! Fixtures, and every packing there is.
#![allow(dead_code)] // each test file uses its part

use std::path::Path;

use safetensors::SafeTensors;
use tessera_formats::{Dtype, GgmlType, Tensor};
use tessera_quant::{Float, Packing};

pub const GGML: [GgmlType; 13] = {
    use GgmlType::*;
    [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, IQ4_NL, IQ4_XS, MXFP4]
};

pub const FLOATS: [Float; 3] = [Float::F32, Float::F16, Float::BF16];

/// Every packing but plain floats.
pub fn packings() -> Vec<Packing> {
    let mut all = vec![Packing::Mxfp4, Packing::Nvfp4, Packing::Mxfp8];
    for scale in FLOATS {
        for bits in [2, 3, 4, 5, 6, 8] {
            all.extend([32, 64, 128].map(|group| Packing::Affine { bits, group, scale }));
        }
    }
    all.extend(GGML.map(Packing::Ggml));
    all
}

/// A committed safetensors file of vectors.
pub struct Fixture(Vec<u8>);

impl Fixture {
    pub fn open(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name);
        Self(std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        let file = SafeTensors::deserialize(&self.0).expect("a safetensors file");
        let view = file.tensor(name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let dtype = match view.dtype() {
            safetensors::Dtype::U8 => Dtype::U8,
            safetensors::Dtype::U32 => Dtype::U32,
            safetensors::Dtype::F16 => Dtype::F16,
            safetensors::Dtype::BF16 => Dtype::BF16,
            safetensors::Dtype::F32 => Dtype::F32,
            other => panic!("{name}: {other:?}"),
        };
        let (shape, bytes) = (view.shape().to_vec(), view.data().to_vec().into());
        Tensor { name: name.to_owned(), dtype, shape, bytes }
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        let bytes = self.tensor(name).bytes;
        bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }
}

/// Asserts equality bit for bit, the sign of zero included.
pub fn assert_same(what: &str, got: &[f32], expected: &[f32]) {
    assert_eq!(got.len(), expected.len(), "{what}");
    for (i, (g, e)) in got.iter().zip(expected).enumerate() {
        assert!(g.to_bits() == e.to_bits(), "{what}, element {i}: {g:?}, not {e:?}");
    }
}

/// All rows of a matrix.
pub fn decode(weight: &tessera_quant::Weight) -> Vec<f32> {
    let mut out = vec![0.0; weight.rows * weight.cols];
    for (row, out) in out.chunks_mut(weight.cols).enumerate() {
        weight.decode_row(row, out);
    }
    out
}

/// Values like those of a trained matrix: a few large ones, each row around a mean of its own.
pub fn values(rows: usize, cols: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut uniform = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let means: Vec<f32> = (0..rows).map(|_| 0.1 * uniform()).collect();
    let mut value = |i: usize| means[i / cols] + 0.3 * (uniform() + uniform() + uniform());
    (0..rows * cols).map(&mut value).collect()
}
