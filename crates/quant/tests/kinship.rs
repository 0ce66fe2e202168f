//! The same codes in two packings are the same matrix: a GGUF file's integers may be kept in an mlx
//! checkpoint without loss.

mod common;

use common::{assert_same, decode, values};
use tessera_formats::{Dtype, GgmlType, QuantMode, Tensor, TensorQuant};
use tessera_quant::{Packing, RowScales, Weight, encode};

const ROWS: usize = 5;
const COLS: usize = 96;

fn tensor(name: &str, dtype: Dtype, cols: usize, bytes: Vec<u8>) -> Tensor {
    Tensor { name: name.to_owned(), dtype, shape: vec![ROWS, cols], bytes: bytes.into() }
}

/// `of`, whose groups are 32 elements, as an mlx affine matrix with f32 scales and the given bias.
fn as_affine(of: &Weight, bits: u8, bias: impl Fn(&RowScales, usize) -> f32) -> Weight {
    let (mut words, mut scales, mut biases) = (Vec::new(), Vec::new(), Vec::new());
    let (mut codes, mut row_scales) = (vec![0; COLS], RowScales::default());
    for row in 0..ROWS {
        of.codes_row(row, &mut codes);
        of.read_scales(row, &mut row_scales);
        let pack = |c: &[u8]| c.iter().rev().fold(0u32, |w, &c| w << bits | u32::from(c));
        let per_word = 32 / usize::from(bits);
        words.extend(codes.chunks(per_word).flat_map(|c| pack(c).to_le_bytes()));
        scales.extend(row_scales.scale.iter().flat_map(|s| s.to_le_bytes()));
        biases.extend((0..COLS / 32).flat_map(|g| bias(&row_scales, g).to_le_bytes()));
    }
    Weight::from_mlx(
        &tensor("w", Dtype::U32, COLS * usize::from(bits) / 32, words),
        &tensor("w.scales", Dtype::F32, COLS / 32, scales),
        Some(&tensor("w.biases", Dtype::F32, COLS / 32, biases)),
        &TensorQuant { mode: QuantMode::Affine, bits, group_size: 32 },
    )
    .unwrap()
}

#[test]
fn q4_1_is_affine_with_four_bits() {
    let source = values(ROWS, COLS, 21);
    let q4_1 = encode(Packing::Ggml(GgmlType::Q4_1), ROWS, COLS, &source).unwrap();
    let affine = as_affine(&q4_1, 4, |scales, group| scales.bias[group]);
    assert_same("Q4_1", &decode(&affine), &decode(&q4_1));
}

#[test]
fn q8_0_is_affine_with_eight_bits_and_a_bias() {
    let source = values(ROWS, COLS, 22);
    let q8_0 = encode(Packing::Ggml(GgmlType::Q8_0), ROWS, COLS, &source).unwrap();
    let affine = as_affine(&q8_0, 8, |scales, group| -128.0 * scales.scale[group]);
    // Exact: an f16 scale times eight bits fits f32. Only the sign of a zero may differ.
    assert_eq!(decode(&affine), decode(&q8_0));
}
