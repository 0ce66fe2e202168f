//! GGUF types against vectors that gguf-py made.

mod common;

use common::{Fixture, GGML, assert_same, decode};
use tessera_formats::{Dtype, GgmlType, Tensor};
use tessera_quant::{Float, Packing, Weight, encode};

const ROWS: usize = 3;
const COLS: usize = 512;

/// The fixture's bytes as the tensor that a GGUF file would hold.
fn tensor(file: &Fixture, key: &str, dtype: Dtype) -> Tensor {
    let bytes = file.tensor(&format!("{key}.bytes")).bytes;
    Tensor { name: key.to_owned(), dtype, shape: vec![ROWS, COLS], bytes }
}

#[test]
fn decoding_is_gguf_py_bit_for_bit() {
    let file = Fixture::open("gguf.safetensors");
    let floats = [("F16", Dtype::F16), ("BF16", Dtype::BF16)].map(|(k, d)| (k.to_owned(), d));
    let blocks = GGML.into_iter().map(|t| (format!("{t:?}"), Dtype::Ggml(t)));
    for (key, dtype) in blocks.chain(floats) {
        let weight = Weight::from_tensor(&tensor(&file, &key, dtype)).unwrap();
        assert_same(&key, &decode(&weight), &file.floats(&format!("{key}.expected")));
        weight.check_finite(&key).unwrap();
    }
}

#[test]
fn encoding_is_gguf_py_bit_for_bit() {
    use GgmlType::*;
    let file = Fixture::open("gguf.safetensors");
    let mut packings = vec![("F16".to_owned(), Packing::Dense(Float::F16))];
    packings.push(("BF16".to_owned(), Packing::Dense(Float::BF16)));
    let blocks = [Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, MXFP4];
    packings.extend(blocks.map(|t| (format!("{t:?}"), Packing::Ggml(t))));
    for (key, packing) in packings {
        let source = file.floats(&format!("{key}.source"));
        let ours = encode(packing, ROWS, COLS, &source).unwrap();
        let theirs = file.tensor(&format!("{key}.bytes")).bytes;
        assert_eq!(ours.codes[..], theirs[..], "{key}");
    }
}

/// A block of the MXFP4 type, worked out by hand from the OCP microscaling specification.
#[test]
fn mxfp4_by_hand() {
    // Scale 2^(129 - 127) = 4; codes 0..16 in the low nibbles, 2 = 1.0 in the high ones.
    let mut block = vec![129];
    block.extend((0..16u8).map(|c| c | 2 << 4));
    let shape = vec![1, 32];
    let dtype = Dtype::Ggml(GgmlType::MXFP4);
    let tensor = Tensor { name: "x".to_owned(), dtype, shape, bytes: block.into() };
    let decoded = decode(&Weight::from_tensor(&tensor).unwrap());
    let positive = [0.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0];
    assert_eq!(decoded[..8], positive);
    assert_eq!(decoded[8..16], positive.map(|v: f32| -v));
    assert_eq!(decoded[16..], [4.0; 16]);
}
