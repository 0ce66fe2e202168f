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
