//! Tensors that must be refused, each by an error that names it.

mod common;

use common::{packings, values};
use tessera_formats::{Dtype, GgmlType, QuantMode, Tensor, TensorQuant};
use tessera_quant::{Error, Packing, RowOrder, Weight, encode};

fn tensor(name: &str, dtype: Dtype, shape: &[usize], bytes: usize) -> Tensor {
    Tensor { name: name.to_owned(), dtype, shape: shape.to_vec(), bytes: vec![0; bytes].into() }
}

#[test]
fn shapes_that_are_no_matrix() {
    let huge = [usize::MAX, 2, 4];
    for shape in [&[][..], &[0], &[0, 4], &[4, 0], &[2, 0, 2], &[2, 2, 2, 1], &huge] {
        let error = Weight::from_tensor(&tensor("odd", Dtype::F32, shape, 32)).unwrap_err();
        assert!(matches!(&error, Error::Shape { tensor, .. } if tensor == "odd"), "{error}");
        assert!(error.to_string().contains("`odd`"));
    }
}

#[test]
fn stacks_and_kernels_are_matrices() {
    for (shape, expected) in
        [(&[2, 2, 2][..], [4, 2]), (&[4, 1, 2], [4, 2]), (&[4, 2, 1], [4, 2]), (&[8], [1, 8])]
    {
        let weight = Weight::from_tensor(&tensor("stack", Dtype::F32, shape, 32)).unwrap();
        assert_eq!([weight.rows, weight.cols], expected, "{shape:?}");
    }
}

#[test]
fn stripes_are_rows_of_the_whole() {
    let numbers = (0..24u8).flat_map(|i| f32::from(i).to_le_bytes()).collect::<Vec<u8>>();
    let whole = Tensor { bytes: numbers.into(), ..tensor("w", Dtype::F32, &[12, 2], 96) };
    let whole = Weight::from_tensor(&whole).unwrap();
    let row = |weight: &Weight, row: usize| {
        let mut out = [0.0; 2];
        weight.decode_row(row, &mut out);
        out
    };
    let part = whole.stripes(1, 2, 5, 4).unwrap();
    let found: Vec<[f32; 2]> = (0..4).map(|i| row(&part, i)).collect();
    assert_eq!(found, [1, 2, 6, 7].map(|stored| row(&whole, stored)));
    assert_eq!((part.bytes(), whole.bytes()), (32, 96));
    part.check_finite("w").unwrap();
    for (first, stripe, stride, rows) in [
        (0, 0, 5, 4),
        (0, 2, 1, 4),
        (0, 2, 5, 3),
        (0, 2, 5, 0),
        (6, 2, 5, 4),
        (usize::MAX, 2, 5, 4),
        (0, 2, usize::MAX, 4),
    ] {
        let error = whole.stripes(first, stripe, stride, rows).unwrap_err();
        assert!(matches!(error, Error::Slice { .. }), "{error}");
    }
    // what has been cut is not cut again
    assert!(part.stripes(0, 1, 1, 1).is_err() && part.slice_rows(0, 2).is_err());
}

/// A stack of matrices whose rows have one scale each: `[stack, rows, 1]` are scales of all its rows, as
/// `[channels, kernel, 1]` would not be.
#[test]
fn scales_of_a_stack_fit_its_rows() {
    let quant = TensorQuant { bits: 4, group_size: 32, mode: QuantMode::Mxfp4 };
    let codes = tensor("stack", Dtype::U32, &[3, 5, 4], 240);
    let weight =
        Weight::from_mlx(&codes, &tensor("scales", Dtype::U8, &[3, 5, 1], 15), None, &quant);
    let weight = weight.unwrap();
    assert_eq!((weight.rows, weight.cols), (15, 32));
    for shape in [&[3, 4, 1][..], &[15], &[3, 5], &[1, 5, 3]] {
        let scales = tensor("scales", Dtype::U8, shape, shape.iter().product());
        let error = Weight::from_mlx(&codes, &scales, None, &quant).unwrap_err();
        assert!(matches!(error, Error::Companion { .. }), "{error}");
    }
}

#[test]
fn bytes_that_do_not_fit() {
    let q4 = Dtype::Ggml(GgmlType::Q4_0);
    for (dtype, shape, bytes) in [
        (Dtype::F32, [2, 3], 23),
        (Dtype::F16, [2, 3], 13),
        (q4, [2, 32], 35),
        (q4, [2, 32], 0),
        (Dtype::F32, [usize::MAX, usize::MAX], 16),
    ] {
        let error = Weight::from_tensor(&tensor("short", dtype, &shape, bytes)).unwrap_err();
        assert!(matches!(error, Error::Length { .. }), "{error}");
    }
}

#[test]
fn types_and_groups_that_do_not_fit() {
    for dtype in [Dtype::Bool, Dtype::I8, Dtype::U32, Dtype::F64, Dtype::F8E4M3] {
        let error =
            Weight::from_tensor(&tensor("ids", dtype, &[4], dtype.block().1 * 4)).unwrap_err();
        assert!(matches!(error, Error::Dtype { .. }), "{error}");
    }
    let error = Weight::from_tensor(&tensor("k", Dtype::Ggml(GgmlType::Q4_K), &[1, 128], 72));
    assert!(matches!(error, Err(Error::Group { cols: 128, group: 256, .. })));
}

/// A correct 4-bit matrix `[2, 64]`, to be broken.
fn affine() -> (Tensor, Tensor, Tensor, TensorQuant) {
    (
        tensor("w", Dtype::U32, &[2, 8], 64),
        tensor("w.scales", Dtype::F16, &[2, 2], 8),
        tensor("w.biases", Dtype::F16, &[2, 2], 8),
        TensorQuant { mode: QuantMode::Affine, bits: 4, group_size: 32 },
    )
}

#[test]
fn mlx_parts_that_do_not_belong_together() {
    let (w, s, b, q) = affine();
    let ok = Weight::from_mlx(&w, &s, Some(&b), &q).unwrap();
    assert_eq!((ok.rows, ok.cols, ok.bytes()), (2, 64, 80));

    assert!(matches!(Weight::from_mlx(&w, &s, None, &q), Err(Error::Biases { needed: true, .. })));
    let codes = tensor("w", Dtype::I32, &[2, 8], 64);
    assert!(matches!(Weight::from_mlx(&codes, &s, Some(&b), &q), Err(Error::Dtype { .. })));
    let codes = tensor("w", Dtype::U32, &[2, 8], 60);
    assert!(matches!(Weight::from_mlx(&codes, &s, Some(&b), &q), Err(Error::Length { .. })));
    for shape in [&[2, 1][..], &[1, 2], &[4], &[2, 2, 1], &[0, 2]] {
        let scales = tensor("w.scales", Dtype::F16, shape, 8);
        let error = Weight::from_mlx(&w, &scales, Some(&b), &q).unwrap_err();
        assert!(
            matches!(&error, Error::Companion { tensor, .. } if tensor == "w.scales"),
            "{error}"
        );
        let biases = tensor("w.biases", Dtype::F16, shape, 8);
        let error = Weight::from_mlx(&w, &s, Some(&biases), &q).unwrap_err();
        assert!(
            matches!(&error, Error::Companion { tensor, .. } if tensor == "w.biases"),
            "{error}"
        );
    }
    let scales = tensor("w.scales", Dtype::U8, &[2, 2], 4);
    assert!(matches!(Weight::from_mlx(&w, &scales, Some(&b), &q), Err(Error::Dtype { .. })));
    let biases = tensor("w.biases", Dtype::F32, &[2, 2], 16);
    assert!(matches!(Weight::from_mlx(&w, &s, Some(&biases), &q), Err(Error::Dtype { .. })));
    let biases = tensor("w.biases", Dtype::F16, &[2, 2], 6);
    assert!(matches!(Weight::from_mlx(&w, &s, Some(&biases), &q), Err(Error::Length { .. })));
}

#[test]
fn mlx_recipes_that_do_not_exist() {
    let (w, s, b, _) = affine();
    let u8s = tensor("w.scales", Dtype::U8, &[2, 2], 4);
    for (mode, bits, group_size) in [
        (QuantMode::Affine, 0, 32),
        (QuantMode::Affine, 7, 32),
        (QuantMode::Affine, 4, 0),
        (QuantMode::Affine, 4, 16),
        (QuantMode::Affine, 255, usize::MAX),
        (QuantMode::Affine, 4, 32 + (1 << 16)),
        (QuantMode::Mxfp4, 4, 16),
        (QuantMode::Mxfp8, 4, 32),
    ] {
        let quant = TensorQuant { mode, bits, group_size };
        let scales = if mode == QuantMode::Affine { &s } else { &u8s };
        let error = Weight::from_mlx(&w, scales, Some(&b), &quant).unwrap_err();
        assert!(matches!(error, Error::Recipe { .. }), "{error}");
    }
    let quant = TensorQuant { mode: QuantMode::Mxfp4, bits: 4, group_size: 32 };
    let error = Weight::from_mlx(&w, &u8s, Some(&b), &quant).unwrap_err();
    assert!(matches!(error, Error::Biases { needed: false, .. }), "{error}");
    assert!(matches!(Weight::from_mlx(&w, &s, None, &quant), Err(Error::Dtype { .. })));
    // 10 words are 53.3 codes of six bits.
    let quant = TensorQuant { mode: QuantMode::Affine, bits: 6, group_size: 32 };
    let codes = tensor("w", Dtype::U32, &[1, 10], 40);
    assert!(matches!(Weight::from_mlx(&codes, &s, Some(&b), &quant), Err(Error::Group { .. })));
}

/// Sets every byte of the scales, one packing and row at a time, to NaN or infinity.
#[test]
fn scales_that_are_not_finite() {
    for packing in packings().into_iter().chain(common::FLOATS.map(Packing::Dense)) {
        let cols = 256;
        let weight = encode(packing, 3, cols, &values(3, cols, 5)).unwrap();
        weight.check_finite("fine").unwrap();
        // 0xff in every place makes a NaN in every float type, and 255 in e8m0.
        let fill = |bytes: &[u8], row: usize| -> tessera_formats::Bytes {
            let each = bytes.len() / 3;
            let mut bytes = bytes.to_vec();
            bytes[row * each..(row + 1) * each].fill(0xff);
            bytes.into()
        };
        for row in 0..3 {
            let mut broken = weight.clone();
            match &weight.scales {
                Some(scales) => broken.scales = Some(fill(scales, row)),
                None => broken.codes = fill(&weight.codes, row),
            }
            let error = broken.check_finite("broken").unwrap_err();
            assert_eq!(error, Error::NotFinite { tensor: "broken".to_owned(), row }, "{packing:?}");
            if let Some(biases) = &weight.biases {
                let broken = Weight { biases: Some(fill(biases, row)), ..weight.clone() };
                assert!(broken.check_finite("broken").is_err(), "{packing:?}");
            }
        }
    }
}

#[test]
fn infinite_halves_in_blocks() {
    for (kind, at) in [
        (GgmlType::Q4_0, 0),
        (GgmlType::Q4_1, 2),
        (GgmlType::Q2_K, 80),
        (GgmlType::Q2_K, 82),
        (GgmlType::Q3_K, 108),
        (GgmlType::Q5_K, 2),
        (GgmlType::Q6_K, 208),
    ] {
        let (cols, len) = kind.block();
        let mut bytes = vec![0; len];
        bytes[at..at + 2].copy_from_slice(&0xfc00u16.to_le_bytes()); // minus infinity
        let shape = vec![1, cols];
        let name = "inf".to_owned();
        let tensor = Tensor { name, dtype: Dtype::Ggml(kind), shape, bytes: bytes.into() };
        assert!(Weight::from_tensor(&tensor).unwrap().check_finite("inf").is_err(), "{kind:?}");
    }
}

#[test]
fn encoding_what_does_not_fit() {
    let q4 = Packing::Ggml(GgmlType::Q4_0);
    for (rows, cols, len) in [(1, 32, 31), (0, 32, 0), (1, 0, 0), (1, 33, 33), (usize::MAX, 32, 32)]
    {
        let error = encode(q4, rows, cols, &vec![0.0; len]).unwrap_err();
        assert!(matches!(error, Error::Encode { .. }), "{error}");
    }
    for (bits, group) in [(7, 32), (0, 32), (9, 32), (4, 16), (4, 0)] {
        let packing = Packing::Affine { bits, group, scale: tessera_quant::Float::F32 };
        assert!(matches!(encode(packing, 1, 64, &[0.0; 64]), Err(Error::Encode { .. })));
    }
    for value in [f32::NAN, f32::INFINITY, 1e30] {
        let mut values = [0.5; 64];
        values[40] = value;
        let error = encode(q4, 2, 32, &values).unwrap_err();
        assert!(matches!(error, Error::NotFinite { row: 1, .. }), "{error}");
    }
}

#[test]
fn orders_that_do_not_divide() {
    let weight = encode(Packing::Dense(tessera_quant::Float::F32), 12, 1, &[0.0; 12]).unwrap();
    for heads in [0, 4, 5, 12, usize::MAX] {
        let error = weight.clone().with_order(RowOrder::Paired { heads }).unwrap_err();
        assert_eq!(error, Error::Heads { rows: 12, heads });
    }
}
