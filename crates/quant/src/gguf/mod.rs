//! GGUF blocks: where the codes and scales of each type lie.
//!
//! Layouts follow ggml's block definitions. Every function takes whole blocks (a row, or a part of
//! one) and fills one code an element, or one scale a group.

mod simple;
mod superblock;

use tessera_formats::GgmlType;

use crate::{
    Float,
    float::{all_finite, half_at},
};
pub(crate) use simple::single_scales;
pub(crate) use superblock::two_level_scales;

/// Where the scales of a super-block go, a slice for each field of `RowScales`.
pub(crate) struct TwoLevel<'a> {
    /// One a group.
    pub sub: &'a mut [i8],
    /// One a group, or empty.
    pub min: &'a mut [u8],
    /// One a super-block.
    pub d: &'a mut [f32],
    /// One a super-block, or empty.
    pub dmin: &'a mut [f32],
}

/// Writes one code an element.
pub(crate) fn codes(kind: GgmlType, bytes: &[u8], out: &mut [u8]) {
    match kind {
        GgmlType::Q4_0 | GgmlType::IQ4_NL => each(bytes, out, simple::nibbles_after::<2, 18>),
        GgmlType::Q4_1 => each(bytes, out, simple::nibbles_after::<4, 20>),
        GgmlType::MXFP4 => each(bytes, out, simple::nibbles_after::<1, 17>),
        GgmlType::Q5_0 => each(bytes, out, simple::five_bits_after::<2, 22>),
        GgmlType::Q5_1 => each(bytes, out, simple::five_bits_after::<4, 24>),
        GgmlType::Q8_0 => each(bytes, out, simple::q8_0),
        GgmlType::Q2_K => each(bytes, out, superblock::q2_k),
        GgmlType::Q3_K => each(bytes, out, superblock::q3_k),
        GgmlType::Q4_K => each(bytes, out, superblock::q4_k),
        GgmlType::Q5_K => each(bytes, out, superblock::q5_k),
        GgmlType::Q6_K => each(bytes, out, superblock::q6_k),
        GgmlType::IQ4_XS => each(bytes, out, superblock::iq4_xs),
    }
}

/// Where the f16 scale of a block lies, and how many f16 there are (a bias or dmin follows);
/// `None` for MXFP4, whose scale is one byte.
fn halves(kind: GgmlType) -> Option<(usize, usize)> {
    match kind {
        GgmlType::Q4_0 | GgmlType::Q5_0 | GgmlType::Q8_0 => Some((0, 1)),
        GgmlType::IQ4_NL | GgmlType::IQ4_XS => Some((0, 1)),
        GgmlType::Q4_1 | GgmlType::Q5_1 | GgmlType::Q4_K | GgmlType::Q5_K => Some((0, 2)),
        GgmlType::Q2_K => Some((80, 2)),
        GgmlType::Q3_K => Some((108, 1)),
        GgmlType::Q6_K => Some((208, 1)),
        GgmlType::MXFP4 => None,
    }
}

/// Writes half number `which` of each block, if the type has so many.
fn read_halves(kind: GgmlType, bytes: &[u8], which: usize, out: &mut [f32]) {
    let Some((at, _)) = halves(kind).filter(|&(_, count)| which < count) else { return };
    let at = at + 2 * which;
    for (block, o) in bytes.chunks_exact(kind.block().1).zip(out) {
        *o = half_at([block[at], block[at + 1]]);
    }
}

/// Whether no scale of these blocks is NaN or infinite.
pub(crate) fn scales_finite(kind: GgmlType, bytes: &[u8]) -> bool {
    let mut blocks = bytes.chunks_exact(kind.block().1);
    match halves(kind) {
        Some((at, count)) => blocks.all(|b| all_finite(Float::F16, &b[at..at + 2 * count])),
        None => blocks.all(|b| b[0] != 255),
    }
}

/// Applies `f` to each block of `B` bytes and the `E` elements it holds.
#[inline(always)]
fn each<const B: usize, const E: usize>(
    bytes: &[u8],
    out: &mut [u8],
    f: impl Fn(&[u8; B], &mut [u8; E]),
) {
    for (block, codes) in bytes.as_chunks::<B>().0.iter().zip(out.as_chunks_mut::<E>().0) {
        f(block, codes);
    }
}

/// Splits bytes into low nibbles (the first half of `out`) and high nibbles (the second).
#[inline(always)]
fn nibbles(bytes: &[u8], out: &mut [u8]) {
    let (low, high) = out.split_at_mut(bytes.len());
    for ((b, l), h) in bytes.iter().zip(low).zip(high) {
        *l = b & 15;
        *h = b >> 4;
    }
}
