//! Small files for tests, right and wrong.
#![allow(dead_code)] // each test file uses its part

use std::path::Path;

use tessera_formats::{
    Dtype, Error, GgmlType, Result, Tensor,
    gguf::{Array, Gguf, Strings, Value, Writer},
    safetensors,
};

/// The path that errors name.
pub const PATH: &str = "folder/model.bin";

pub fn parse_gguf(bytes: &[u8]) -> Result<Gguf> {
    Gguf::parse(bytes.to_vec().into(), Path::new(PATH))
}

pub fn parse_safetensors(bytes: &[u8]) -> Result<safetensors::File> {
    safetensors::File::parse(bytes.to_vec().into(), Path::new(PATH))
}

/// The message of an error, after checking that it names the file.
#[track_caller]
pub fn message<T: std::fmt::Debug>(result: Result<T>) -> String {
    let text = result.unwrap_err().to_string();
    assert!(text.contains(PATH), "no file name in: {text}");
    text
}

pub fn tensor(name: &str, dtype: Dtype, shape: &[usize]) -> Tensor {
    let len = dtype.bytes(shape).unwrap();
    let bytes = (0..len).map(|i| (i * 7 + name.len()) as u8).collect::<Vec<_>>();
    Tensor { name: name.into(), dtype, shape: shape.to_vec(), bytes: bytes.into() }
}

/// A valid file with every kind of metadata; its data ends at a multiple of the alignment.
pub fn gguf_writer() -> Writer {
    let nested = Array::Arrays(vec![Array::U16(vec![1, 2]), Array::Bool(vec![true])]);
    Writer::new()
        .pair("general.architecture", "llama")
        .pair("llama.block_count", 3u32)
        .pair("llama.rope.freq_base", 10_000f32)
        .pair("a.u8", 200u8)
        .pair("a.i8", -3i8)
        .pair("a.u16", 60_000u16)
        .pair("a.i16", -300i16)
        .pair("a.i32", -70_000i32)
        .pair("a.u64", u64::MAX)
        .pair("a.i64", i64::MIN)
        .pair("a.f64", 0.1f64)
        .pair("a.bool", true)
        .pair("tokens", ["<s>", "", "é", "▁the"].iter().collect::<Strings>())
        .pair("scores", vec![0.0f32, -1.5, f32::NEG_INFINITY, 4.0])
        .pair("types", vec![1i32, 2, 3, 6])
        .pair("nested", Value::Array(nested))
        .tensor(tensor("token_embd.weight", Dtype::F32, &[4, 8]))
        .and_then(|w| w.tensor(tensor("blk.0.a.weight", Dtype::Ggml(GgmlType::Q4_0), &[16, 64])))
        .and_then(|w| w.tensor(tensor("norm.weight", Dtype::F32, &[8])))
        .unwrap()
}

/// A GGUF file put together by hand, so that it can be wrong.
#[derive(Clone, Default)]
pub struct Raw(pub Vec<u8>);

impl Raw {
    pub fn new(version: u32, tensors: u64, pairs: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(version).u64(tensors).u64(pairs)
    }

    pub fn u32(mut self, value: u32) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn u64(mut self, value: u64) -> Self {
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn string(self, text: impl AsRef<[u8]>) -> Self {
        self.u64(text.as_ref().len() as u64).bytes(text.as_ref())
    }

    /// A pair with a 32-bit value.
    pub fn pair_u32(self, key: &str, value: u32) -> Self {
        self.string(key).u32(4).u32(value)
    }

    /// A tensor's description; dimensions as stored, innermost first.
    pub fn info(self, name: &str, dimensions: &[u64], number: u32, offset: u64) -> Self {
        let raw = self.string(name).u32(dimensions.len() as u32);
        let raw = dimensions.iter().fold(raw, |raw, &dimension| raw.u64(dimension));
        raw.u32(number).u64(offset)
    }

    /// Padding to 32 bytes, then `len` bytes of data.
    pub fn data(mut self, len: usize) -> Self {
        let end = self.0.len().next_multiple_of(32) + len;
        self.0.resize(end, 0);
        self
    }

    pub fn parse(&self) -> Result<Gguf> {
        parse_gguf(&self.0)
    }

    pub fn error(&self) -> Error {
        self.parse().unwrap_err()
    }

    pub fn message(&self) -> String {
        message(self.parse())
    }
}

/// A safetensors file with that header and `data` bytes.
pub fn raw_safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}
