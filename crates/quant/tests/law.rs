//! The law of the normal form: `scale * value(code) + bias`, put together from `codes_row` and
//! `read_scales`, is what `decode_row` gives, exactly; and decoding undoes encoding to within a step.

mod common;

use common::{packings, values};
use proptest::prelude::*;
use tessera_formats::{Bytes, GgmlType};
use tessera_quant::{Codes, Error, Packing, RowScales, Scales, Weight, encode};

const ROWS: usize = 3;

/// Elements of a row: not a multiple of 256 where the packing allows it.
fn cols(packing: Packing) -> usize {
    if packing.block() == 256 { 512 } else { 3 * packing.block() + 256 }
}

/// Asserts the law on one row, the normal form spelled out as a backend would.
fn assert_law(weight: &Weight, row: usize, scales: &mut RowScales) {
    let (packing, form) = (weight.packing, weight.form());
    let (mut decoded, mut codes) = (vec![0.0; weight.cols], vec![0; weight.cols]);
    weight.decode_row(row, &mut decoded);
    weight.codes_row(row, &mut codes);
    weight.read_scales(row, scales);
    for (i, (&code, &expected)) in codes.iter().zip(&decoded).enumerate() {
        let group = i / form.group;
        let (scale, bias) = match form.scales {
            Scales::Float { bias: true, .. } => (scales.scale[group], scales.bias[group]),
            Scales::TwoLevel { min } => {
                let scale = scales.d[i / 256] * f32::from(scales.sub[group]);
                let least = |m: u8| -(scales.dmin[i / 256] * f32::from(m));
                (scale, if min { least(scales.min[group]) } else { 0.0 })
            }
            _ => (scales.scale[group], 0.0),
        };
        let element = scale * form.codes.value(code) + bias;
        // Random bytes make NaN scales too: those must then give NaN both ways.
        let same = element == expected || element.is_nan() && expected.is_nan();
        assert!(same, "{packing:?}, row {row}, element {i}: {element}, not {expected}");
        let (of_group, bias_of_group) = scales.group(&form, group);
        assert!(of_group == scale && bias_of_group == bias || element.is_nan(), "{packing:?}");
        if let Codes::Int { bits, .. } = form.codes {
            assert!(u16::from(code) < 1 << bits, "{packing:?}: code {code}");
        }
    }
}

#[test]
fn codes_and_scales_recombine_exactly() {
    let mut scales = RowScales::default();
    for packing in packings() {
        let cols = cols(packing);
        let weight = encode(packing, ROWS, cols, &values(ROWS, cols, 7)).unwrap();
        (0..ROWS).for_each(|row| assert_law(&weight, row, &mut scales));
    }
}

#[test]
fn only_what_the_form_uses_is_filled() {
    let mut scales = RowScales::default();
    for packing in packings() {
        let cols = cols(packing);
        let weight = encode(packing, 1, cols, &values(1, cols, 3)).unwrap();
        weight.read_scales(0, &mut scales);
        let form = weight.form();
        let groups = cols / form.group;
        let lens = [scales.scale.len(), scales.bias.len(), scales.sub.len(), scales.min.len()];
        let blocks = [scales.d.len(), scales.dmin.len()];
        match form.scales {
            Scales::TwoLevel { min: true } => {
                assert_eq!(lens, [0, 0, groups, groups]);
                assert_eq!(blocks, [cols / 256; 2]);
            }
            Scales::TwoLevel { min: false } => {
                assert_eq!(lens, [0, 0, groups, 0]);
                assert_eq!(blocks, [cols / 256, 0]);
            }
            Scales::Float { bias, .. } => {
                assert_eq!(lens, [groups, groups * usize::from(bias), 0, 0])
            }
            _ => assert_eq!((lens, blocks), ([groups, 0, 0, 0], [0, 0])),
        }
    }
}

/// Half the distance between neighbouring codes where it is largest, as a share of the largest
/// magnitude of a group (of a super-block for two-level scales), with room for rounded scales.
fn tolerance(packing: Packing) -> f32 {
    use GgmlType::*;
    match packing {
        Packing::Ggml(Q2_K) => 2.0 / 3.0 * 0.5 + 2.0 / 15.0,
        Packing::Ggml(Q3_K) => 0.25 + 4.0 / 64.0,
        Packing::Ggml(Q4_K) => 2.0 / 15.0 * 0.5 + 2.0 / 63.0,
        Packing::Ggml(Q5_K) => 2.0 / 31.0 * 0.5 + 2.0 / 63.0,
        Packing::Ggml(Q6_K) => 1.0 / 32.0 + 1.0 / 128.0,
        Packing::Ggml(IQ4_NL | IQ4_XS) => 24.0 / 127.0 + 1.0 / 32.0,
        // A power of two may leave a third of the range above the largest code, or below.
        Packing::Mxfp4 | Packing::Ggml(MXFP4) => 0.34,
        Packing::Nvfp4 => 0.25,
        Packing::Mxfp8 => 0.34,
        _ => match packing.form().codes {
            Codes::Int { bits, .. } => 2.0 / f32::from(u8::MAX >> (8 - bits)) + 0.01,
            _ => f32::NAN,
        },
    }
}

proptest! {
    /// Whatever the bytes, reading does not panic, and the law holds.
    #[test]
    fn any_bytes_recombine_exactly(bytes in prop::collection::vec(any::<u8>(), 2048)) {
        let mut scales = RowScales::default();
        for packing in packings() {
            let cols = cols(packing);
            let mut weight = encode(packing, 1, cols, &vec![1.0; cols]).unwrap();
            let mut rest = &bytes[..];
            let mut fill = |part: &mut Bytes| {
                let (now, later) = rest.split_at(part.len());
                (*part, rest) = (now.to_vec().into(), later);
            };
            fill(&mut weight.codes);
            weight.scales.as_mut().map(&mut fill);
            weight.biases.as_mut().map(&mut fill);
            assert_law(&weight, 0, &mut scales);
            // No scale that passes the check makes an element that is not a number.
            if weight.check_finite("random").is_ok() {
                let mut decoded = vec![0.0; cols];
                weight.decode_row(0, &mut decoded);
                prop_assert!(!decoded.iter().any(|v| v.is_nan()), "{packing:?}");
            }
        }
    }

    #[test]
    fn decoding_undoes_encoding_within_a_step(seed: u64, exponent in -6i32..6) {
        for packing in packings() {
            let cols = cols(packing);
            let mut source = values(1, cols, seed);
            source.iter_mut().for_each(|v| *v *= 2f32.powi(exponent));
            let weight = encode(packing, 1, cols, &source).unwrap();
            let mut decoded = vec![0.0; cols];
            weight.decode_row(0, &mut decoded);
            let unit = packing.block();
            for (source, decoded) in source.chunks(unit).zip(decoded.chunks(unit)) {
                let largest = source.iter().fold(0f32, |m, v| m.max(v.abs()));
                for (s, d) in source.iter().zip(decoded) {
                    let error = (s - d).abs();
                    // nvfp4's scales are e4m3, with nothing between 0 and 2^-9.
                    let floor = if packing == Packing::Nvfp4 { 6.0 / 1024.0 } else { 0.0 };
                    let limit = tolerance(packing) * largest + floor;
                    prop_assert!(error <= limit, "{packing:?}: {s} became {d}, largest {largest}");
                }
            }
        }
    }

    /// Any finite values, subnormal and huge ones too, are encoded or refused.
    #[test]
    fn any_values_encode_or_are_refused(values in prop::collection::vec(any::<f32>(), 512)) {
        for packing in packings() {
            match encode(packing, 1, 512, &values) {
                Ok(weight) => prop_assert!(weight.check_finite("encoded").is_ok()),
                Err(error) => {
                    let refused = matches!(error, Error::NotFinite { row: 0, .. });
                    prop_assert!(refused, "{packing:?}: {error}");
                }
            }
        }
    }

    /// Values that are exactly representable come back as they were.
    #[test]
    fn integers_survive(codes in prop::collection::vec(-8i8..8, 32)) {
        let source: Vec<f32> = codes.iter().map(|&c| f32::from(c) * 0.25).collect();
        let mut anchored = source.clone();
        anchored[0] = -2.0; // code 0 of Q4_0 fixes the scale at a quarter
        let weight = encode(Packing::Ggml(GgmlType::Q4_0), 1, 32, &anchored).unwrap();
        let mut decoded = vec![0.0; 32];
        weight.decode_row(0, &mut decoded);
        prop_assert_eq!(decoded, anchored);
    }
}
