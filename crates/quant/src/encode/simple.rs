//! GGUF blocks of 32 with one scale, as gguf-py makes them.

use super::{extreme, inverse, range, to_half};

/// Scale from the extreme value, which becomes the lowest code.
pub(super) fn q4_0(v: &[f32; 32]) -> [u8; 18] {
    let d = extreme(v) / -8.0;
    let id = inverse(d);
    let mut out = [0; 18];
    out[..2].copy_from_slice(&to_half(d).1);
    nibbles(&v.map(|x| ((x * id + 8.5) as u8).min(15)), &mut out[2..]);
    out
}

/// Scale and min from the range.
pub(super) fn q4_1(v: &[f32; 32]) -> [u8; 20] {
    let (header, codes) = from_range(v, 15.0);
    let mut out = [0; 20];
    out[..4].copy_from_slice(&header);
    nibbles(&codes, &mut out[4..]);
    out
}

/// As Q4_0 with five bits.
pub(super) fn q5_0(v: &[f32; 32]) -> [u8; 22] {
    let d = extreme(v) / -16.0;
    let id = inverse(d);
    let codes = v.map(|x| ((x * id + 16.5) as u8).min(31));
    let mut out = [0; 22];
    out[..2].copy_from_slice(&to_half(d).1);
    out[2..6].copy_from_slice(&fifth_bits(&codes));
    nibbles(&codes, &mut out[6..]);
    out
}

/// As Q4_1 with five bits.
pub(super) fn q5_1(v: &[f32; 32]) -> [u8; 24] {
    let (header, codes) = from_range(v, 31.0);
    let mut out = [0; 24];
    out[..4].copy_from_slice(&header);
    out[4..8].copy_from_slice(&fifth_bits(&codes));
    nibbles(&codes, &mut out[8..]);
    out
}

/// Signed bytes, halves rounded away from zero.
pub(super) fn q8_0(v: &[f32; 32]) -> [u8; 34] {
    let d = extreme(v).abs() / 127.0;
    let id = inverse(d);
    let mut out = [0; 34];
    out[..2].copy_from_slice(&to_half(d).1);
    for (o, x) in out[2..].iter_mut().zip(v) {
        *o = (x * id).round() as i8 as u8;
    }
    out
}

/// f16 scale and min, and codes up to `top`.
fn from_range(v: &[f32; 32], top: f32) -> ([u8; 4], [u8; 32]) {
    let (lo, hi) = range(v);
    let d = (hi - lo) / top;
    let id = inverse(d);
    let ([a, b], [c, e]) = (to_half(d).1, to_half(lo).1);
    ([a, b, c, e], v.map(|x| ((x - lo) * id + 0.5).min(top) as u8))
}

/// The first half of the codes in low nibbles, the second in high ones.
pub(super) fn nibbles(codes: &[u8], out: &mut [u8]) {
    let (low, high) = codes.split_at(codes.len() / 2);
    for ((o, l), h) in out.iter_mut().zip(low).zip(high) {
        *o = l & 15 | h << 4;
    }
}

/// Bit 4 of each code, the first code in the lowest bit.
fn fifth_bits(codes: &[u8; 32]) -> [u8; 4] {
    let bits = codes.iter().rev().fold(0u32, |w, c| w << 1 | u32::from(c >> 4));
    bits.to_le_bytes()
}
