//! safetensors files and indexes, right and wrong.

mod common;

use std::path::Path;

use common::{PATH, message, parse_safetensors as parse, raw_safetensors as raw, tensor};
use proptest::prelude::*;
use tessera_formats::{Dtype, Error, GgmlType, safetensors};

fn entry(name: &str, dtype: &str, shape: &str, start: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{start},{end}]}}"#)
}

fn file(entries: &[String], data: usize) -> Vec<u8> {
    raw(&format!("{{{}}}", entries.join(",")), data)
}

/// A valid file, as another writer makes it.
fn sample() -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sample.safetensors");
    let tensors = [
        tensor("b.weight", Dtype::BF16, &[3, 5]),
        tensor("a.scales", Dtype::F32, &[2]),
        tensor("empty", Dtype::U8, &[0, 4]),
        tensor("a.weight", Dtype::U32, &[2, 4]),
    ];
    safetensors::write(&path, &tensors, &[("format", "mlx")]).unwrap();
    std::fs::read(&path).unwrap()
}

#[test]
fn written_files_read_back() {
    let file = parse(&sample()).unwrap();
    assert_eq!(file.metadata["format"], "mlx");
    let names: Vec<_> = file.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["a.scales", "a.weight", "b.weight", "empty"]);
    assert_eq!(file.tensors[2].shape, [3, 5]);
    assert_eq!(file.tensors[2].dtype, Dtype::BF16);
    assert_eq!(*file.tensors[2].bytes, *tensor("b.weight", Dtype::BF16, &[3, 5]).bytes);
    assert_eq!(file.tensors[3].bytes.len(), 0);
}

#[test]
fn every_type_is_read_or_named() {
    let known = [
        ("BOOL", 1),
        ("U8", 1),
        ("I8", 1),
        ("F8_E4M3", 1),
        ("F8_E5M2", 1),
        ("F8_E8M0", 1),
        ("U16", 2),
        ("I16", 2),
        ("F16", 2),
        ("BF16", 2),
        ("U32", 4),
        ("I32", 4),
        ("F32", 4),
        ("U64", 8),
        ("I64", 8),
        ("F64", 8),
    ];
    for (name, size) in known {
        let bytes = file(&[entry("t", name, "[3]", 0, 3 * size)], 3 * size as usize);
        assert_eq!(parse(&bytes).unwrap().tensors[0].bytes.len() as u64, 3 * size, "{name}");
    }
    for name in ["F4", "C64", "F8_E4M3FNUZ", "Q4_0", "f32", ""] {
        let error = parse(&file(&[entry("t", name, "[2]", 0, 1)], 1)).unwrap_err();
        let Error::Dtype { tensor, dtype, .. } = error else { panic!("{error}") };
        assert_eq!((tensor, dtype), ("\"t\"".into(), format!("{name:?}")));
    }
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = sample();
    for len in 0..bytes.len() {
        message(parse(&bytes[..len]));
    }
    let mut long = bytes;
    long.push(0);
    assert!(message(parse(&long)).contains("tensors cover"));
}

#[test]
fn header_lengths_are_bounded() {
    for length in [100_000_001, 1 << 32, 1 << 63, u64::MAX] {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(b"{}");
        let error = parse(&bytes).unwrap_err();
        assert!(matches!(error, Error::Limit { value, limit: 100_000_000, .. } if value == length));
    }
    let mut bytes = 90_000_000u64.to_le_bytes().to_vec();
    bytes.extend(b"{}");
    let error = parse(&bytes).unwrap_err();
    assert!(matches!(error, Error::Truncated { needs: 90_000_000, has: 2, .. }));
}

#[test]
fn headers_must_be_objects_of_tensors() {
    let deep = format!("{{\"a\":{}", "[".repeat(10_000));
    for header in ["", " {}", "[]", "null", "{", "{}{}", "{\"t\":1}", "{\"t\":{}}", &deep] {
        message(parse(&raw(header, 0)));
    }
    assert!(message(parse(&raw("{\"t\":1}", 0))).contains("\"t\""));
    let text = message(parse(&raw(&format!("{{\"t\":\"{}\"}}", "é\u{7f}".repeat(9999)), 0)));
    assert!(text.len() < 1000 && !text.contains('\u{7f}'), "{text}");
    let mut bytes = raw("{\"t\"  }", 0);
    bytes[10] = 0xff;
    message(parse(&bytes));
    assert!(parse(&raw("{}   ", 0)).unwrap().tensors.is_empty());
    message(parse(&raw(r#"{"__metadata__":{"a":1}}"#, 0)));
    message(parse(&raw(r#"{"__metadata__":{},"__metadata__":{}}"#, 0)));
}

#[test]
fn many_tensors_and_strings_are_refused() {
    let strings: Vec<_> = (0..5000).map(|i| format!("\"{i}\":\"\"")).collect();
    let strings = raw(&format!("{{\"__metadata__\":{{{}}}}}", strings.join(",")), 0);
    assert!(message(parse(&strings)).contains("at most 4096 fields"));
    let tensors: Vec<_> =
        (0..=1_000_000).map(|i| entry(&i.to_string(), "U8", "[0]", 0, 0)).collect();
    assert!(message(parse(&file(&tensors, 0))).contains("more than 1000000 tensors"));
}

#[test]
fn sizes_and_offsets_must_agree() {
    for (shape, start, end) in [
        ("[2]", 0, 4),
        ("[2]", 0, 9),
        ("[2]", 8, 0),
        ("[2]", 1, 9),
        ("[2]", u64::MAX - 7, u64::MAX),
        ("[4294967296,4294967296]", 0, 8),
        ("[18446744073709551615]", 0, 8),
        ("[4611686018427387904,4]", 0, 8),
        ("[9223372036854775808,0,2]", 0, 8),
    ] {
        let error = parse(&file(&[entry("t", "F32", shape, start, end)], 8)).unwrap_err();
        assert!(matches!(error, Error::Tensor { .. }), "{shape} {start} {end}: {error}");
    }
    for shape in ["[18446744073709551616]", "[-1]", "[1.5]", "[1,1,1,1,1,1,1,1,1]", "\"2\""] {
        let text = message(parse(&file(&[entry("t", "F32", shape, 0, 8)], 8)));
        assert!(text.contains("\"t\""), "{text}");
    }
    let beyond = file(&[entry("t", "F32", "[1024]", 0, 4096)], 8);
    assert!(matches!(parse(&beyond), Err(Error::Truncated { .. })));
}

#[test]
fn holes_overlaps_and_duplicates_are_refused() {
    let overlap = [entry("a", "U8", "[4]", 0, 4), entry("b", "U8", "[4]", 2, 6)];
    assert!(matches!(parse(&file(&overlap, 6)), Err(Error::Tensor { .. })));
    let hole = [entry("a", "U8", "[4]", 0, 4), entry("b", "U8", "[4]", 6, 10)];
    assert!(matches!(parse(&file(&hole, 10)), Err(Error::Tensor { .. })));
    let twice = [entry("a", "U8", "[4]", 0, 4), entry("a", "U8", "[4]", 4, 8)];
    assert!(matches!(parse(&file(&twice, 8)), Err(Error::Duplicate { .. })));
    let alias = [entry("a", "U8", "[4]", 0, 4), entry("b", "U8", "[4]", 0, 4)];
    assert!(matches!(parse(&file(&alias, 4)), Err(Error::Tensor { .. })));
    let empty_twice = [entry("a", "U8", "[0]", 0, 0), entry("a", "U8", "[0]", 0, 0)];
    assert!(matches!(parse(&file(&empty_twice, 0)), Err(Error::Duplicate { .. })));
}

#[test]
fn what_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.safetensors");
    let block = tensor("t", Dtype::Ggml(GgmlType::Q8_0), &[32]);
    assert!(matches!(safetensors::write(&path, &[block], &[]), Err(Error::Dtype { .. })));
    let mut short = tensor("t", Dtype::F32, &[4]);
    short.shape = vec![3];
    assert!(matches!(safetensors::write(&path, &[short], &[]), Err(Error::Tensor { .. })));
    let nowhere = folder.path().join("none/t.safetensors");
    assert!(matches!(safetensors::write(&nowhere, &[], &[]), Err(Error::Io { .. })));
    assert!(!path.exists());
}

fn index(text: &str) -> tessera_formats::Result<safetensors::Index> {
    safetensors::Index::parse(text.as_bytes(), Path::new(PATH))
}

#[test]
fn an_index_lists_shards_in_order() {
    let index = index(
        r#"{"metadata": {"total_size": 1}, "weight_map": {
            "c": "2.safetensors", "a": "2.safetensors", "b": "sub/1.safetensors"}}"#,
    )
    .unwrap();
    assert_eq!(index.shards, ["2.safetensors", "sub/1.safetensors"].map(std::path::PathBuf::from));
    assert_eq!((index.tensors["a"], index.tensors["b"], index.tensors["c"]), (0, 1, 0));
}

#[test]
fn shards_cannot_leave_the_folder() {
    for shard in [
        "../m.safetensors",
        "a/../../m.safetensors",
        "..",
        "/etc/m.safetensors",
        "./m.safetensors",
        "C:\\\\m.safetensors",
        "..\\\\m.safetensors",
        "c:m.safetensors",
        "m\\u0000.safetensors",
        "m.bin",
        "",
    ] {
        let error = index(&format!(r#"{{"weight_map":{{"t":"{shard}"}}}}"#)).unwrap_err();
        assert!(matches!(error, Error::UnsafeShard { .. }), "{shard}: {error}");
    }
    let long = format!(r#"{{"weight_map":{{"t":"{}.safetensors"}}}}"#, "x".repeat(600));
    assert!(matches!(index(&long), Err(Error::UnsafeShard { .. })));
}

#[test]
fn indexes_are_bounded_and_typed() {
    for text in ["", "{}", "[]", r#"{"weight_map":{}}"#, r#"{"weight_map":{"t":1}}"#] {
        message(index(text));
    }
    let twice = r#"{"weight_map":{"t":"a.safetensors","t":"b.safetensors"}}"#;
    assert!(matches!(index(twice), Err(Error::Duplicate { .. })));
    let names: Vec<_> = (0..=1_000_000).map(|i| format!(r#""{i}":"a.safetensors""#)).collect();
    let names = format!(r#"{{"weight_map":{{{}}}}}"#, names.join(","));
    assert!(message(index(&names)).contains("at most 1000000 fields"));
    let many: Vec<_> = (0..5000).map(|i| format!(r#""{i}":"{i}.safetensors""#)).collect();
    let many = format!(r#"{{"weight_map":{{{}}}}}"#, many.join(","));
    assert!(matches!(index(&many), Err(Error::Limit { value: 5000, limit: 4096, .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Damaged files are refused or read within bounds, and never where the reference refuses.
    #[test]
    fn damage_never_panics(changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        let mut bytes = sample_once().to_vec();
        let len = bytes.len();
        for (at, value) in changes {
            bytes[usize::from(at) % len] = value;
        }
        if let Ok(file) = parse(&bytes) {
            for tensor in &file.tensors {
                prop_assert_eq!(Some(tensor.bytes.len()), tensor.dtype.bytes(&tensor.shape));
            }
            prop_assert!(::safetensors::SafeTensors::read_metadata(&bytes).is_ok());
        }
    }
}

fn sample_once() -> &'static [u8] {
    static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(sample)
}
