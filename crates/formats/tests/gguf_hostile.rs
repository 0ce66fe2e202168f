//! GGUF files that are wrong: each gives a typed error that names the file, none a panic.

mod common;

use common::{PATH, Raw, gguf_writer, message, parse_gguf};
use proptest::prelude::*;
use tessera_formats::Error;

/// Numbers that a hostile file puts where a count, a length or a dimension belongs.
const HUGE: [u64; 8] = [
    1 << 32,
    (1 << 32) + 1,
    1 << 40,
    (1 << 61) + 1,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 7,
    u64::MAX,
];

#[test]
fn every_truncation_is_an_error() {
    let bytes = gguf_writer().to_bytes().unwrap();
    assert!(parse_gguf(&bytes).is_ok());
    for len in 0..bytes.len() {
        message(parse_gguf(&bytes[..len]));
    }
}

#[test]
fn other_formats_and_versions_are_named() {
    assert!(message(parse_gguf(b"ggjt\x03\0\0\0aaaaaaaaaaaaaaaaaaaa")).contains("not a GGUF file"));
    assert!(message(parse_gguf(b"")).contains("cut short"));
    for version in [0, 1, 4, 77] {
        let raw = Raw::new(version, 0, 0);
        assert!(matches!(raw.error(), Error::Version { version: v, .. } if v == version));
    }
    assert!(Raw::new(1, 0, 0).message().contains("version 1 is not supported"));
    for version in [2u32, 3] {
        assert!(matches!(Raw::new(version.swap_bytes(), 0, 0).error(), Error::BigEndian { .. }));
    }
}

#[test]
fn split_files_are_refused() {
    let raw = Raw::new(3, 0, 1).pair_u32("split.count", 3);
    assert!(matches!(raw.error(), Error::SplitGguf { count: 3, .. }));
    assert!(Raw::new(3, 0, 1).pair_u32("split.count", 1).parse().is_ok());
}

#[test]
fn huge_counts_are_refused() {
    for huge in HUGE {
        let tensors = Raw::new(3, huge, 0).data(64);
        assert!(matches!(tensors.error(), Error::Limit { value, .. } if value == huge));
        let pairs = Raw::new(3, 0, huge).data(64);
        assert!(matches!(pairs.error(), Error::Limit { value, .. } if value == huge));
    }
    // Within the limit, but more than the file can hold.
    assert!(matches!(Raw::new(3, 1_000_000, 0).data(64).error(), Error::Truncated { .. }));
    assert!(matches!(Raw::new(3, 0, 60_000).data(64).error(), Error::Truncated { .. }));
}

#[test]
fn huge_lengths_are_refused() {
    for huge in HUGE {
        let key = Raw::new(3, 0, 1).u64(huge).data(64);
        let value = Raw::new(3, 0, 1).string("k").u32(8).u64(huge).data(64);
        let name = Raw::new(3, 1, 0).u64(huge).data(64);
        for raw in [key, value, name] {
            assert!(matches!(raw.error(), Error::Truncated { needs, .. } if needs == huge));
        }
        for element in 0..13 {
            let array = Raw::new(3, 0, 1).string("k").u32(9).u32(element).u64(huge).data(64);
            let error = array.error();
            assert!(matches!(error, Error::Truncated { .. } | Error::Limit { .. }), "{error}");
        }
    }
    let long = "n".repeat(2000);
    let name = Raw::new(3, 1, 0).info(&long, &[8], 0, 0).data(64);
    assert!(matches!(name.error(), Error::Limit { value: 2000, limit: 1024, .. }));
}

#[test]
fn the_head_has_a_limit() {
    // A real array, longer than all metadata may be.
    let len = 257 << 20;
    let raw = Raw::new(3, 0, 1).string("k").u32(9).u32(0).u64(len).data(len as usize);
    assert!(matches!(raw.error(), Error::Limit { limit: 0x1000_0000, .. }));
}

#[test]
fn huge_dimensions_are_refused() {
    for huge in HUGE {
        for dimensions in [vec![huge], vec![256, huge], vec![huge, huge], vec![256, 1, huge, 3]] {
            for number in [0, 2, 12] {
                let error = Raw::new(3, 1, 0).info("t", &dimensions, number, 0).data(64).error();
                assert!(matches!(error, Error::Tensor { .. } | Error::Truncated { .. }), "{error}");
            }
        }
    }
    let overflow = Raw::new(3, 1, 0).info("t", &[1 << 20, 1 << 20, 1 << 20, 1 << 20], 0, 0);
    assert!(overflow.message().contains("overflows"));
    let zero = Raw::new(3, 1, 0).info("t", &[0, 4], 0, 0).data(64);
    assert!(zero.message().contains("tensor \"t\": a dimension of 0"));
    for rank in [5, 64, u32::MAX] {
        let raw = Raw::new(3, 1, 0).string("t").u32(rank).data(128);
        assert!(raw.message().contains(&format!("{rank} dimensions, the limit is 4")));
    }
}

#[test]
fn data_must_lie_in_the_file() {
    let raw = |offset| Raw::new(3, 1, 0).info("t", &[8], 0, offset).data(64);
    assert!(raw(0).parse().is_ok());
    assert!(raw(32).parse().is_ok());
    for offset in [64, 96, 1 << 32, 1 << 62, (1 << 63) - 32, 1 << 63, u64::MAX - 31] {
        assert!(matches!(raw(offset).error(), Error::Truncated { .. }), "{offset}");
    }
    let long = Raw::new(3, 1, 0).info("t", &[17], 0, 0).data(64);
    assert!(matches!(long.error(), Error::Truncated { needs: 68, has: 64, .. }));
}

#[test]
fn misaligned_and_overlapping_data_is_refused() {
    for offset in [1, 4, 31, 33, u64::MAX] {
        let raw = Raw::new(3, 1, 0).info("t", &[1], 0, offset).data(96);
        assert!(raw.message().contains("not a multiple of the alignment 32"), "{offset}");
    }
    let overlap = Raw::new(3, 2, 0).info("a", &[16], 0, 0).info("b", &[8], 0, 32).data(96);
    assert!(overlap.message().contains("tensor \"b\": offset 32 lies inside tensor \"a\""));
    let same = Raw::new(3, 2, 0).info("a", &[8], 0, 0).info("b", &[8], 0, 0).data(96);
    assert!(same.message().contains("lies inside tensor"));
}

#[test]
fn odd_alignments_are_refused() {
    for alignment in [0, 3, 31, 33, 1 << 21, 1 << 30, u32::MAX] {
        let raw = Raw::new(3, 1, 1).pair_u32("general.alignment", alignment);
        let raw = raw.info("t", &[8], 0, 0).data(64);
        assert!(raw.message().contains(&format!("{alignment} is not a power of two")));
    }
    let text = Raw::new(3, 0, 1).string("general.alignment").u32(8).string("32");
    assert!(text.message().contains("expected an integer from 0, found \"32\""));
}

#[test]
fn rows_must_be_whole_blocks() {
    let raw = |number, row| Raw::new(3, 1, 0).info("t", &[row, 2], number, 0).data(4096);
    assert!(raw(2, 33).message().contains("rows of 33 do not divide into Ggml(Q4_0) blocks of 32"));
    assert!(raw(12, 128).message().contains("blocks of 256"));
    assert!(Raw::new(3, 1, 0).info("t", &[], 2, 0).data(64).message().contains("rows of 1 "));
}

#[test]
fn duplicates_are_refused() {
    let keys = Raw::new(3, 0, 2).pair_u32("k", 1).pair_u32("k", 2);
    assert!(matches!(keys.error(), Error::Duplicate { what: "metadata key", .. }));
    let tensors = Raw::new(3, 2, 0).info("t", &[8], 0, 0).info("t", &[8], 0, 32).data(64);
    assert!(matches!(tensors.error(), Error::Duplicate { what: "tensor", .. }));
}

#[test]
fn text_must_be_utf8() {
    let key = Raw::new(3, 0, 1).string(b"k\xff").u32(4).u32(1);
    let value = Raw::new(3, 0, 1).string("k").u32(8).string(b"\xc3\x28");
    let name = Raw::new(3, 1, 0).string(b"\xf0\x9f").u32(1).u64(8).u32(0).u64(0).data(64);
    for raw in [key, value, name] {
        assert!(raw.message().contains("not UTF-8"), "{}", raw.message());
    }
    let array = |strings: [&[u8]; 3]| {
        let raw = Raw::new(3, 0, 1).string("k").u32(9).u32(8).u64(3);
        strings.iter().fold(raw, |raw, text| raw.string(text))
    };
    assert!(array([b"a", b"\xff", b"b"]).message().contains("string 1 of metadata \"k\""));
    // Halves of one character, valid only when joined.
    assert!(array([b"a", b"\xc3", b"\xa9"]).message().contains("string 1 of metadata \"k\""));
    assert!(array([b"a", b"b", b"\xe2\x96"]).message().contains("string 2 of metadata \"k\""));
}

#[test]
fn unknown_values_and_bools_are_refused() {
    for kind in [13, 14, 255, u32::MAX] {
        let value = Raw::new(3, 0, 1).string("k").u32(kind).data(64);
        assert!(value.message().contains(&format!("unknown value type {kind}")));
        let array = Raw::new(3, 0, 1).string("k").u32(9).u32(kind).u64(1).data(64);
        assert!(array.message().contains(&format!("unknown value type {kind}")));
    }
    let bool = Raw::new(3, 0, 1).string("k").u32(7).bytes(&[2]);
    assert!(bool.message().contains("holds bool 2"));
    let bools = Raw::new(3, 0, 1).string("k").u32(9).u32(7).u64(2).bytes(&[1, 9]);
    assert!(bools.message().contains("holds bool 9"));
}

#[test]
fn nested_arrays_are_bounded() {
    let nest = |depth: usize| {
        let raw = Raw::new(3, 0, 1).string("k").u32(9);
        let raw = (1..depth).fold(raw, |raw, _| raw.u32(9).u64(1));
        raw.u32(0).u64(1).bytes(&[5])
    };
    assert!(nest(3).parse().is_ok());
    assert!(nest(4).message().contains("nests arrays more than 3 deep"));
    assert!(nest(100_000).message().contains("nests arrays"));
    // Many arrays cost more memory than bytes: bounded over the whole file, not for each array.
    let wide = |pairs: u64, width: u64| {
        (0..pairs).fold(Raw::new(3, 0, pairs), |raw, pair| {
            let raw = raw.string(format!("k{pair}")).u32(9).u32(9).u64(width);
            (0..width).fold(raw, |raw, _| raw.u32(0).u64(0))
        })
    };
    assert!(wide(4, 1024).parse().is_ok());
    assert!(matches!(wide(5, 1024).error(), Error::Limit { limit: 0, .. }));
    assert!(wide(5, 1024).message().contains("after 4096 others"));
    assert!(matches!(wide(1, 5000).error(), Error::Limit { limit: 4096, .. }));
}

#[test]
fn messages_stay_short_and_printable() {
    let key = "\u{1b}[2J".to_owned() + &"x".repeat(60_000);
    let text = Raw::new(3, 0, 1).string(&key).u32(99).message();
    assert!(text.len() < 300 && !text.contains('\u{1b}'), "{text}");
    assert!(text.starts_with(PATH));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Damaged files are refused or read within bounds.
    #[test]
    fn damage_never_panics(changes in prop::collection::vec((any::<u16>(), any::<u8>()), 1..6)) {
        let mut bytes = gguf_writer().to_bytes().unwrap();
        // The head only: the data may be anything.
        let head = bytes.len() - 1024;
        for (at, value) in changes {
            bytes[usize::from(at) % head] = value;
        }
        if let Ok(gguf) = parse_gguf(&bytes) {
            for tensor in &gguf.tensors {
                prop_assert_eq!(Some(tensor.bytes.len()), tensor.dtype.bytes(&tensor.shape));
            }
        }
    }

    /// So is anything that begins like a file.
    #[test]
    fn noise_never_panics(noise in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(noise);
        let _ = parse_gguf(&bytes);
    }
}
