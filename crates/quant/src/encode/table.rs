//! GGUF blocks whose codes are indices into a table: IQ4_NL, IQ4_XS and MXFP4.

use super::{extreme, kquant::two_level, simple::nibbles, to_half};
use crate::{
    e8m0_to_f32,
    form::{E2M1_DOUBLED, IQ4},
};

/// One scale that maps the extreme value to the end of the table.
pub(super) fn iq4_nl(v: &[f32; 32]) -> [u8; 18] {
    let (d, half) = to_half(extreme(v) / f32::from(IQ4[0]));
    let mut out = [0; 18];
    out[..2].copy_from_slice(&half);
    nibbles(&v.map(|x| nearest(&IQ4, d, x)), &mut out[2..]);
    out
}

/// As IQ4_NL, with the scale of each 32 elements rounded to six bits.
pub(super) fn iq4_xs(v: &[f32; 256]) -> [u8; 136] {
    let wanted: Vec<f32> =
        v.as_chunks::<32>().0.iter().map(|g| extreme(g) / f32::from(IQ4[0])).collect();
    let (d, half, sub) = two_level(&wanted, 32.0);
    let mut out = [0; 136];
    out[..2].copy_from_slice(&half);
    let mut high = 0u16;
    for (i, &s) in sub.iter().enumerate() {
        let stored = (s + 32) as u8;
        high |= u16::from(stored >> 4) << (2 * i);
        out[4 + i / 2] |= (stored & 15) << (4 * (i % 2));
        let scale = d * f32::from(s);
        let group: Vec<u8> =
            v[32 * i..32 * (i + 1)].iter().map(|&x| nearest(&IQ4, scale, x)).collect();
        nibbles(&group, &mut out[8 + 16 * i..8 + 16 * (i + 1)]);
    }
    out[2..4].copy_from_slice(&high.to_le_bytes());
    out
}

/// The power of two that puts the largest magnitude in the top binade of e2m1.
pub(super) fn mxfp4(v: &[f32; 32]) -> [u8; 17] {
    let largest = extreme(v).abs();
    // floor(log2) of a normal float is its exponent field; 2 is that of e2m1's largest value.
    let exponent = (largest.to_bits() >> 23) as u8;
    let mut out = [0; 17];
    out[0] = exponent.saturating_sub(2);
    let half = 0.5 * e8m0_to_f32(out[0]);
    nibbles(&v.map(|x| nearest(&E2M1_DOUBLED, half, x)), &mut out[1..]);
    out
}

/// Index of the entry that, scaled, is nearest to `value`; the first of equals.
fn nearest(table: &[i8; 16], scale: f32, value: f32) -> u8 {
    let distance = |i: u8| (scale * f32::from(table[usize::from(i)]) - value).abs();
    (1..16).fold(0, |best, i| if distance(i) < distance(best) { i } else { best })
}
