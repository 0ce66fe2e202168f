//! mxfp4, nvfp4 and mxfp8 as mlx makes them.

use super::Parts;
use crate::{Packing, bits::pack, e2m1_to_f32, e4m3_to_f32, e8m0_to_f32};

/// Encodes groups: the scale maps the largest magnitude to the largest code.
pub(super) fn encode(packing: Packing, values: &[f32]) -> Parts {
    let mut parts = Parts::default();
    for group in values.chunks_exact(packing.block()) {
        let largest = group.iter().fold(0f32, |m, v| m.max(v.abs()));
        let (scale, divisor) = match packing {
            Packing::Nvfp4 => {
                let scale = to_e4m3(largest / 6.0);
                (scale, e4m3_to_f32(scale))
            }
            Packing::Mxfp4 => power_of_two(largest / 6.0),
            _ => power_of_two(largest / 448.0),
        };
        parts.scales.push(scale);
        let scaled = group.iter().map(|v| v / divisor);
        if packing == Packing::Mxfp8 {
            parts.codes.extend(scaled.map(to_e4m3));
        } else {
            pack(4, &scaled.map(to_e2m1).collect::<Vec<_>>(), &mut parts.codes);
        }
    }
    parts
}

/// The e8m0 code and value of the smallest power of two that is not below `value`; 1 for 0.
///
/// mlx's exponent wraps around below 2^-127; here it stays there.
fn power_of_two(value: f32) -> (u8, f32) {
    let bits = value.to_bits();
    let above = u32::from(bits & 0x7f_ffff != 0);
    let code = if value == 0.0 { 127 } else { ((bits >> 23) + above).min(254) as u8 };
    (code, e8m0_to_f32(code))
}

/// The nearest e2m1 code, the smaller magnitude of two equally near; 0 / 0 and x / 0 give 0.
pub(super) fn to_e2m1(value: f32) -> u8 {
    let distance = |code: u8| (value - e2m1_to_f32(code)).abs();
    (0..16).fold(0, |best, code| if distance(code) < distance(best) { code } else { best })
}

/// The nearest e4m3 code, ties to even, saturating at 448.
pub(super) fn to_e4m3(value: f32) -> u8 {
    let sign = if value.is_sign_negative() { 0x80 } else { 0 };
    let magnitude = value.abs().min(448.0);
    // Codes 0..=0x7e rise with their values: count the midpoints passed.
    let code = if magnitude < 2f32.powi(-6) {
        (magnitude * 512.0).round_ties_even() as u8
    } else {
        // Keep three of 23 mantissa bits, rounding to even, then move the bias from 127 to 7.
        let bits = magnitude.to_bits();
        let rounded = bits + 0x7ffff + (bits >> 20 & 1);
        (rounded >> 20).saturating_sub((127 - 7) << 3) as u8
    };
    sign | code
}
