//! Blocks of 32 elements with one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL, MXFP4.

use tessera_formats::GgmlType;

use super::{nibbles, read_halves};
use crate::{bits::spread, e8m0_to_f32};

/// Nibbles after a header of `HEAD` bytes: elements 0..16 low, 16..32 high.
pub(super) fn nibbles_after<const HEAD: usize, const B: usize>(b: &[u8; B], out: &mut [u8; 32]) {
    nibbles(&b[HEAD..HEAD + 16], out);
}

/// A header of `HEAD` bytes, 32 fifth bits in element order, then nibbles as in Q4_0.
pub(super) fn five_bits_after<const HEAD: usize, const B: usize>(b: &[u8; B], out: &mut [u8; 32]) {
    nibbles(&b[HEAD + 4..HEAD + 20], out);
    for (byte, codes) in b[HEAD..HEAD + 4].iter().zip(out.as_chunks_mut::<8>().0) {
        let fifth = spread::<1>(u64::from(*byte)) << 4;
        *codes = (u64::from_le_bytes(*codes) | fifth).to_le_bytes();
    }
}

/// Signed bytes, made unsigned by adding 128.
pub(super) fn q8_0(b: &[u8; 34], out: &mut [u8; 32]) {
    for (o, b) in out.iter_mut().zip(&b[2..]) {
        *o = b ^ 0x80;
    }
}

/// Writes one scale a block, and one bias where the type has them (else `bias` is empty).
pub(crate) fn single_scales(kind: GgmlType, bytes: &[u8], scale: &mut [f32], bias: &mut [f32]) {
    if kind == GgmlType::MXFP4 {
        // Half of e8m0, because the codes stand for doubled values.
        let blocks = bytes.as_chunks::<17>().0.iter();
        blocks.zip(scale).for_each(|(b, s)| *s = 0.5 * e8m0_to_f32(b[0]));
    } else {
        read_halves(kind, bytes, 0, scale);
        read_halves(kind, bytes, 1, bias);
    }
}
