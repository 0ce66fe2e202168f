//! GGUF files that are right.

mod common;

use common::{Raw, gguf_writer, message, parse_gguf, tensor};
use proptest::prelude::*;
use tessera_formats::{
    Dtype, Error, GgmlType,
    gguf::{self, Array, Strings, Value, Writer},
};

#[test]
fn written_files_read_back() {
    let gguf = parse_gguf(&gguf_writer().to_bytes().unwrap()).unwrap();
    let metadata = &gguf.metadata;
    assert_eq!(gguf.version, 3);
    assert_eq!(metadata.iter().len(), 16);
    assert_eq!(metadata.str("general.architecture").unwrap(), "llama");
    assert_eq!(metadata.u64("llama.block_count").unwrap(), 3);
    assert_eq!(metadata.f32("llama.rope.freq_base").unwrap(), 10_000.0);
    assert_eq!(metadata.u64("a.u8").unwrap(), 200);
    assert_eq!(metadata.get("a.i8"), Some(&Value::I8(-3)));
    assert_eq!(metadata.get("a.i16"), Some(&Value::I16(-300)));
    assert_eq!(metadata.u64("a.u64").unwrap(), u64::MAX);
    assert_eq!(metadata.get("a.i64"), Some(&Value::I64(i64::MIN)));
    assert_eq!(metadata.f32("a.f64").unwrap(), 0.1f32);
    assert!(metadata.bool("a.bool").unwrap());
    let tokens: Vec<_> = metadata.strings("tokens").unwrap().iter().collect();
    assert_eq!(tokens, ["<s>", "", "é", "▁the"]);
    assert_eq!(metadata.strings("tokens").unwrap().get(4), None);
    assert_eq!(metadata.f32s("scores").unwrap(), [0.0, -1.5, f32::NEG_INFINITY, 4.0]);
    assert_eq!(metadata.i32s("types").unwrap(), [1, 2, 3, 6]);
    assert_eq!(metadata.opt_u64s("types").unwrap(), Some(vec![1, 2, 3, 6]));
    assert_eq!(metadata.opt_u64s("a.u8").unwrap(), Some(vec![200]));
    let nested = [Array::U16(vec![1, 2]), Array::Bool(vec![true])];
    assert_eq!(metadata.get("nested"), Some(&Value::Array(Array::Arrays(nested.into()))));

    let names: Vec<_> = gguf.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["blk.0.a.weight", "norm.weight", "token_embd.weight"]);
    for (name, dtype, shape) in [
        ("token_embd.weight", Dtype::F32, vec![4, 8]),
        ("blk.0.a.weight", Dtype::Ggml(GgmlType::Q4_0), vec![16, 64]),
        ("norm.weight", Dtype::F32, vec![8]),
    ] {
        let (read, written) = (gguf.tensor(name).unwrap(), tensor(name, dtype, &shape));
        assert_eq!((read.dtype, &read.shape), (dtype, &shape), "{name}");
        assert_eq!(*read.bytes, *written.bytes, "{name}");
    }
    assert!(gguf.tensor("norm").is_none());
}

#[test]
fn getters_say_what_is_wrong() {
    let metadata = parse_gguf(&gguf_writer().to_bytes().unwrap()).unwrap().metadata;
    assert_eq!(metadata.opt_u64("absent").unwrap(), None);
    assert!(message(metadata.u64("absent")).contains("\"absent\": missing"));
    assert!(message(metadata.u64("a.i8")).contains("expected an integer from 0, found I8(-3)"));
    assert!(message(metadata.opt_str("a.u8")).contains("expected a string, found U8(200)"));
    assert!(message(metadata.opt_f32("tokens")).contains("found an array of 4"));
    assert!(message(metadata.bool("general.architecture")).contains("found \"llama\""));
    assert!(message(metadata.i32s("scores")).contains("expected an array of 32-bit integers"));
}

#[test]
fn every_type_is_read() {
    let numbers = [0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23, 24, 25, 26, 27, 28, 30, 39];
    for number in numbers {
        let dtype = gguf::type_of(number).unwrap();
        assert_eq!(gguf::type_number(dtype), Some(number));
        let bytes = dtype.bytes(&[3, 256]).unwrap();
        let raw = Raw::new(3, 1, 0).info("t", &[256, 3], number, 0).data(bytes);
        let gguf = raw.parse().unwrap();
        assert_eq!(gguf.tensors[0].dtype, dtype);
        assert_eq!(gguf.tensors[0].shape, [3, 256]);
        assert_eq!(gguf.tensors[0].bytes.len(), bytes);
    }
    for number in (0..64).filter(|number| !numbers.contains(number)) {
        let raw = Raw::new(3, 1, 0).info("t", &[256, 3], number, 0).data(4096);
        let Error::GgufType { tensor, number: found, .. } = raw.error() else { panic!() };
        assert_eq!((tensor.as_str(), found), ("\"t\"", number));
    }
}

#[test]
fn version_2_alignment_gaps_and_order_are_allowed() {
    let raw = Raw::new(2, 2, 1).pair_u32("general.alignment", 64).info("b", &[4], 0, 128).info(
        "a",
        &[4],
        0,
        0,
    );
    let mut raw = raw;
    raw.0.resize(raw.0.len().next_multiple_of(64), 0);
    let data = raw.0.len();
    raw.0.resize(data + 144, 0);
    raw.0[data + 128] = 9;
    let gguf = raw.parse().unwrap();
    assert_eq!(gguf.version, 2);
    assert_eq!((gguf.tensors[0].bytes[0], gguf.tensors[1].bytes[0]), (0, 9));
}

#[test]
fn files_without_tensors_are_vocabularies() {
    let gguf = Raw::new(3, 0, 1).pair_u32("n", 7).parse().unwrap();
    assert_eq!(gguf.metadata.u64("n").unwrap(), 7);
    assert!(gguf.tensors.is_empty());
}

#[test]
fn the_writer_refuses_what_it_cannot_store() {
    let mut wrong = tensor("t", Dtype::F32, &[4]);
    wrong.shape = vec![5];
    assert!(matches!(Writer::new().tensor(wrong), Err(Error::Tensor { .. })));
    let long = tensor("t", Dtype::F32, &[1, 1, 1, 1, 4]);
    assert!(matches!(Writer::new().tensor(long), Err(Error::Tensor { .. })));
    let bool = tensor("t", Dtype::Bool, &[4]);
    assert!(matches!(Writer::new().tensor(bool), Err(Error::Dtype { .. })));
    let twice = || tensor("t", Dtype::F32, &[4]);
    let twice = Writer::new().tensor(twice()).unwrap().tensor(twice());
    assert!(matches!(twice, Err(Error::Duplicate { .. })));
    let bytes = Writer::new().pair("general.alignment", 0u32).to_bytes().unwrap();
    assert_eq!(parse_gguf(&bytes).unwrap().metadata.u64("general.alignment").unwrap(), 32);
}

#[test]
fn a_large_vocabulary_is_kept_compactly() {
    let count = 262_144;
    let tokens: Strings = (0..count).map(|i| format!("▁token{i}")).collect();
    let bytes = Writer::new().pair("tokens", tokens.clone()).to_bytes().unwrap();
    let gguf = parse_gguf(&bytes).unwrap();
    let read = gguf.metadata.strings("tokens").unwrap();
    assert_eq!(read, &tokens);
    assert_eq!(read.get(count - 1), Some("▁token262143"));
    // Less than in the file: four bytes a string instead of eight.
    assert!(read.heap_bytes() <= bytes.len() - 4 * count, "{}", read.heap_bytes());
}

proptest! {
    /// Whatever is written is read back as it was.
    #[test]
    fn strings_survive(strings in prop::collection::vec(".{0,12}", 0..40)) {
        let bytes = Writer::new()
            .pair("all", strings.iter().collect::<Strings>())
            .to_bytes()
            .unwrap();
        let gguf = parse_gguf(&bytes).unwrap();
        let read: Vec<_> = gguf.metadata.strings("all").unwrap().iter().collect();
        prop_assert_eq!(read, strings);
    }
}
