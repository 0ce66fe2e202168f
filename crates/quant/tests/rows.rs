//! Row order and slices.

mod common;

use common::{decode, packings, values};
use tessera_quant::{Error, Float, Packing, RowOrder, RowScales, Weight, encode};

/// 12 rows of one element, each its own stored index.
fn counted() -> Weight {
    let values: Vec<f32> = (0..12u8).map(f32::from).collect();
    encode(Packing::Dense(Float::F32), 12, 1, &values).unwrap()
}

#[test]
fn paired_rows_come_back_in_halves() {
    let weight = counted().with_order(RowOrder::Paired { heads: 2 }).unwrap();
    // Stored: neighbours are pairs (first half, second half). Named: halves.
    assert_eq!(decode(&weight), [0., 2., 4., 1., 3., 5., 6., 8., 10., 7., 9., 11.]);
    let stored: Vec<usize> = (0..12).map(|r| weight.stored_row(r)).collect();
    assert_eq!(stored, [0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]);
}

#[test]
fn slices_are_the_same_rows() {
    for packing in packings() {
        let cols = packing.block().max(32);
        let weight = encode(packing, 8, cols, &values(8, cols, 11)).unwrap();
        let paired = weight.clone().with_order(RowOrder::Paired { heads: 2 }).unwrap();
        for (weight, start, len) in [(&weight, 3, 2), (&weight, 0, 8), (&paired, 4, 4)] {
            let slice = weight.slice_rows(start, len).unwrap();
            assert_eq!(decode(&slice), decode(weight)[start * cols..(start + len) * cols]);
            let again = slice.slice_rows(0, len).unwrap();
            assert_eq!(decode(&again), decode(&slice));
            let (mut codes, mut of_slice) = (vec![0; cols], vec![0; cols]);
            let (mut scales, mut scales_of_slice) = (RowScales::default(), RowScales::default());
            for row in 0..len {
                weight.codes_row(start + row, &mut codes);
                slice.codes_row(row, &mut of_slice);
                assert_eq!(codes, of_slice, "{packing:?}");
                weight.read_scales(start + row, &mut scales);
                slice.read_scales(row, &mut scales_of_slice);
                assert_eq!(scales, scales_of_slice, "{packing:?}");
            }
        }
        assert_eq!(weight.slice_rows(3, 2).unwrap().bytes(), weight.bytes() / 4);
    }
}

#[test]
fn slices_outside_are_refused() {
    let weight = counted();
    for (start, len) in [(0, 0), (0, 13), (12, 1), (1, usize::MAX), (usize::MAX, 1)] {
        assert!(matches!(weight.slice_rows(start, len), Err(Error::Slice { unit: 1, .. })));
    }
    let paired = weight.with_order(RowOrder::Paired { heads: 2 }).unwrap();
    assert_eq!(decode(&paired.slice_rows(6, 6).unwrap()), [6., 8., 10., 7., 9., 11.]);
    for (start, len) in [(0, 3), (3, 6), (6, 12), (0, 5)] {
        assert!(matches!(paired.slice_rows(start, len), Err(Error::Slice { unit: 6, .. })));
    }
}

/// Rows of a transpose are columns of what is stored, in every type of float, every one or some of them.
#[test]
fn turned_rows_are_columns() {
    for float in [Float::F32, Float::F16, Float::BF16] {
        let whole = encode(Packing::Dense(float), 5, 12, &values(5, 12, 3)).unwrap();
        let stored = decode(&whole);
        for (first, stride, rows) in [(0, 1, 12), (1, 2, 6), (3, 4, 3), (11, 7, 1)] {
            let turned = whole.turned(first, stride, rows).unwrap();
            assert_eq!((turned.rows, turned.cols), (rows, 5));
            assert_eq!(turned.bytes(), rows * 5 * whole.bytes() / 60);
            let column = |row: usize| (0..5).map(move |i| i * 12 + first + row * stride);
            let expected: Vec<f32> = (0..rows).flat_map(column).map(|at| stored[at]).collect();
            assert_eq!(decode(&turned), expected, "{float:?}, {stride} apart from {first}");
            turned.check_finite("w").unwrap();
        }
        // A part of what is stored, as experts have of a stack.
        let part = whole.slice_rows(2, 3).unwrap().turned(1, 2, 6).unwrap();
        assert_eq!(decode(&part)[..3], [2, 3, 4].map(|row| stored[row * 12 + 1]));
    }
}

#[test]
fn what_cannot_be_turned_is_refused() {
    let whole = encode(Packing::Dense(Float::F32), 3, 4, &values(3, 4, 3)).unwrap();
    for (first, stride, rows) in [
        (0, 1, 0),
        (0, 1, 5),
        (1, 1, 4),
        (1, 2, 3),
        (0, 0, 2),
        (usize::MAX, 1, 2),
        (1, usize::MAX, 2),
    ] {
        let error = whole.turned(first, stride, rows).unwrap_err();
        assert!(matches!(error, Error::Slice { rows: 4, .. }), "{error}");
    }
    let turned = whole.turned(0, 1, 4).unwrap();
    assert!(turned.slice_rows(0, 1).is_err() && turned.stripes(0, 1, 1, 1).is_err());
    assert!(matches!(turned.turned(0, 1, 1), Err(Error::Turned { .. })));
    for packing in packings() {
        let cols = packing.block().max(32);
        let packed = encode(packing, 2, cols, &values(2, cols, 5)).unwrap();
        let refused = matches!(packed.turned(0, 1, 1), Err(Error::Turned { .. }));
        assert_eq!(refused, !matches!(packing, Packing::Dense(_)), "{packing:?}");
    }
    // Columns that are not asked for may hold anything.
    let mut stored = decode(&whole);
    stored[5] = f32::NAN;
    let bytes: Vec<u8> = stored.iter().flat_map(|x| x.to_le_bytes()).collect();
    let whole = Weight { codes: bytes.into(), ..whole };
    whole.turned(0, 2, 2).unwrap().check_finite("w").unwrap();
    let error = whole.turned(0, 1, 4).unwrap().check_finite("w").unwrap_err();
    assert!(matches!(error, Error::NotFinite { row: 1, .. }), "{error}");
}
