//! Small floats, exactly as f32.
//!
//! Layouts are those of the OCP 8-bit floating point and microscaling (MX) specifications.

use half::{bf16, f16};

use crate::Float;

/// Magnitudes of e2m1, by its low three bits.
const E2M1: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// The 4-bit float in the low bits of `code`: sign, two exponent bits, one mantissa bit; no NaN.
pub fn e2m1_to_f32(code: u8) -> f32 {
    let magnitude = E2M1[usize::from(code & 7)];
    if code & 8 == 0 { magnitude } else { -magnitude }
}

/// The 8-bit float with four exponent bits (bias 7) and three mantissa bits: no infinity, NaN at
/// `0x7f` and `0xff`, largest value 448.
pub fn e4m3_to_f32(code: u8) -> f32 {
    if code & 0x7f == 0x7f {
        return f32::NAN;
    }
    // f16 has bias 15: three mantissa bits moved to the top of ten leave the value 2^8 too small,
    // subnormals included.
    let bits = u16::from(code & 0x80) << 8 | u16::from(code & 0x7f) << 7;
    f16::from_bits(bits).to_f32() * 256.0
}

/// The 8-bit float with five exponent bits and two mantissa bits: the top half of an f16.
pub fn e5m2_to_f32(code: u8) -> f32 {
    f16::from_bits(u16::from(code) << 8).to_f32()
}

/// The power of two `2^(code - 127)`; NaN at 255.
pub fn e8m0_to_f32(code: u8) -> f32 {
    match code {
        0 => f32::from_bits(0x0040_0000), // 2^-127 is subnormal
        255 => f32::NAN,
        _ => f32::from_bits(u32::from(code) << 23),
    }
}

/// The f16 in the first two bytes.
pub(crate) fn half_at(bytes: [u8; 2]) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

/// Widens little-endian floats of type `float` to f32.
pub(crate) fn widen(float: Float, bytes: &[u8], out: &mut [f32]) {
    let pairs = bytes.as_chunks::<2>().0;
    match float {
        Float::F32 => {
            for (o, b) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *o = f32::from_le_bytes(*b);
            }
        }
        Float::F16 => {
            for (o, b) in out.iter_mut().zip(pairs) {
                *o = half_at(*b);
            }
        }
        Float::BF16 => {
            for (o, b) in out.iter_mut().zip(pairs) {
                *o = bf16::from_le_bytes(*b).to_f32();
            }
        }
    }
}

/// Whether every little-endian float of type `float` is finite: not all exponent bits set.
pub(crate) fn all_finite(float: Float, bytes: &[u8]) -> bool {
    let halves = |mask: u16| {
        let pairs = bytes.as_chunks::<2>().0;
        // A sum instead of a search: no branch, so it runs as wide as the machine allows.
        pairs.iter().map(|b| u32::from(u16::from_le_bytes(*b) & mask == mask)).sum::<u32>() == 0
    };
    match float {
        Float::F16 => halves(0x7c00),
        Float::BF16 => halves(0x7f80),
        Float::F32 => {
            let words = bytes.as_chunks::<4>().0;
            words.iter().all(|b| f32::from_le_bytes(*b).is_finite())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e4m3_by_definition() {
        for code in 0..=255u8 {
            let sign = if code & 0x80 == 0 { 1.0 } else { -1.0 };
            let (exponent, mantissa) = (i32::from(code >> 3 & 15), f32::from(code & 7));
            let expected = match (exponent, code & 7) {
                (15, 7) => f32::NAN,
                (0, _) => sign * mantissa * 2f32.powi(-9),
                _ => sign * (1.0 + mantissa / 8.0) * 2f32.powi(exponent - 7),
            };
            let got = e4m3_to_f32(code);
            assert!(got.is_nan() == expected.is_nan(), "{code:#x}");
            assert!(got.is_nan() || got.to_bits() == expected.to_bits(), "{code:#x}: {got}");
        }
        assert_eq!(e4m3_to_f32(0x7e), 448.0);
    }

    #[test]
    fn e5m2_e8m0_and_e2m1_at_their_corners() {
        assert_eq!(e5m2_to_f32(0x7b), 57344.0);
        assert!(e5m2_to_f32(0x7c).is_infinite() && e5m2_to_f32(0x7f).is_nan());
        assert_eq!(e5m2_to_f32(0x01), 2f32.powi(-16));
        for code in 0..255u8 {
            assert_eq!(f64::from(e8m0_to_f32(code)), 2f64.powi(i32::from(code) - 127));
        }
        assert!(e8m0_to_f32(255).is_nan());
        assert_eq!((0..16).map(e2m1_to_f32).fold(0.0, f32::max), 6.0);
        assert!(e2m1_to_f32(8).is_sign_negative());
    }

    #[test]
    fn finite_means_finite() {
        for (value, finite) in [(1.0f32, true), (f32::NAN, false), (f32::NEG_INFINITY, false)] {
            assert_eq!(all_finite(Float::F32, &value.to_le_bytes()), finite);
            assert_eq!(all_finite(Float::F16, &f16::from_f32(value).to_le_bytes()), finite);
            assert_eq!(all_finite(Float::BF16, &bf16::from_f32(value).to_le_bytes()), finite);
        }
    }
}
