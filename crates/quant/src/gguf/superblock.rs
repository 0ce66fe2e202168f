//! Super-blocks of 256 elements with two levels of scales: Q2_K to Q6_K and IQ4_XS.

use tessera_formats::GgmlType;

use super::{TwoLevel, nibbles, read_halves};

/// 16 bytes of scales, 64 of codes, d, dmin.
pub(super) fn q2_k(b: &[u8; 84], out: &mut [u8; 256]) {
    two_bits(&b[16..80], out);
}

/// 32 bytes of third bits, 64 of low bits, 12 of scales, d.
pub(super) fn q3_k(b: &[u8; 110], out: &mut [u8; 256]) {
    two_bits(&b[32..96], out);
    high_bits::<2>(&b[..32], out);
}

/// d, dmin, 12 bytes of scales and mins, 128 of codes.
pub(super) fn q4_k(b: &[u8; 144], out: &mut [u8; 256]) {
    for (bytes, codes) in b[16..].as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<64>().0) {
        nibbles(bytes, codes);
    }
}

/// d, dmin, 12 bytes of scales and mins, 32 of fifth bits, 128 of low bits.
pub(super) fn q5_k(b: &[u8; 176], out: &mut [u8; 256]) {
    for (bytes, codes) in b[48..].as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<64>().0) {
        nibbles(bytes, codes);
    }
    high_bits::<4>(&b[16..48], out);
}

/// 128 bytes of low bits, 64 of high bits, 16 of scales, d; in two halves of 128 elements.
pub(super) fn q6_k(b: &[u8; 210], out: &mut [u8; 256]) {
    let low = b[..128].as_chunks::<64>().0;
    let high = b[128..192].as_chunks::<32>().0;
    for ((low, high), codes) in low.iter().zip(high).zip(out.as_chunks_mut::<128>().0) {
        nibbles(low, codes);
        for (quarter, codes) in codes.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (h, c) in high.iter().zip(codes) {
                *c |= (h >> (2 * quarter) & 3) << 4;
            }
        }
    }
}

/// d, 2 + 4 bytes of scales, 128 of codes: nibbles by 32 elements as in Q4_0.
pub(super) fn iq4_xs(b: &[u8; 136], out: &mut [u8; 256]) {
    for (bytes, codes) in b[8..].as_chunks::<16>().0.iter().zip(out.as_chunks_mut::<32>().0) {
        nibbles(bytes, codes);
    }
}

/// 32 bytes hold 128 elements: bits 0-1 the first 32, bits 2-3 the next, and so on; twice.
#[inline(always)]
fn two_bits(bytes: &[u8], out: &mut [u8; 256]) {
    for (bytes, codes) in bytes.as_chunks::<32>().0.iter().zip(out.as_chunks_mut::<128>().0) {
        for (quarter, codes) in codes.as_chunks_mut::<32>().0.iter_mut().enumerate() {
            for (b, c) in bytes.iter().zip(codes) {
                *c = b >> (2 * quarter) & 3;
            }
        }
    }
}

/// Sets bit `AT` of each code: bit `k` of byte `i` belongs to element `32 k + i`.
#[inline(always)]
fn high_bits<const AT: u32>(bytes: &[u8], out: &mut [u8; 256]) {
    for (k, codes) in out.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        for (b, c) in bytes.iter().zip(codes) {
            *c |= (b >> k & 1) << AT;
        }
    }
}

/// Writes the integer scales and mins of each group and the f16 pair of each super-block.
pub(crate) fn two_level_scales(kind: GgmlType, bytes: &[u8], out: TwoLevel<'_>) {
    read_halves(kind, bytes, 0, out.d);
    read_halves(kind, bytes, 1, out.dmin);
    let blocks = bytes.chunks_exact(kind.block().1);
    match kind {
        GgmlType::Q2_K => {
            let groups = out.sub.as_chunks_mut::<16>().0.iter_mut();
            for ((b, sub), min) in blocks.zip(groups).zip(out.min.as_chunks_mut::<16>().0) {
                for ((b, s), m) in b.iter().zip(sub).zip(min) {
                    (*s, *m) = ((b & 15) as i8, b >> 4);
                }
            }
        }
        GgmlType::Q4_K | GgmlType::Q5_K => {
            let groups = out.sub.as_chunks_mut::<8>().0.iter_mut();
            for ((b, sub), min) in blocks.zip(groups).zip(out.min.as_chunks_mut::<8>().0) {
                six_bit_pairs(&b[4..16], sub, min);
            }
        }
        GgmlType::Q3_K => {
            for (b, sub) in blocks.zip(out.sub.as_chunks_mut::<16>().0) {
                let (low, high) = (&b[96..104], &b[104..108]);
                for (i, s) in sub.iter_mut().enumerate() {
                    let low = low[i % 8] >> (4 * (i / 8)) & 15;
                    let high = high[i % 4] >> (2 * (i / 4)) & 3;
                    *s = (low | high << 4) as i8 - 32;
                }
            }
        }
        GgmlType::Q6_K => {
            for (b, sub) in blocks.zip(out.sub.as_chunks_mut::<16>().0) {
                for (b, s) in b[192..208].iter().zip(sub) {
                    *s = *b as i8;
                }
            }
        }
        _ => {
            for (b, sub) in blocks.zip(out.sub.as_chunks_mut::<8>().0) {
                let high = u16::from_le_bytes([b[2], b[3]]);
                for (i, s) in sub.iter_mut().enumerate() {
                    let low = b[4 + i / 2] >> (4 * (i % 2)) & 15;
                    *s = (low | ((high >> (2 * i)) as u8 & 3) << 4) as i8 - 32;
                }
            }
        }
    }
}

/// Eight scales and eight mins of six bits in twelve bytes: the first four of each lie in the low
/// bits of bytes 0-3 and 4-7; the last four take a nibble each of bytes 8-11, and their top two
/// bits from the top of bytes 0-7.
fn six_bit_pairs(b: &[u8], sub: &mut [i8; 8], min: &mut [u8; 8]) {
    for i in 0..4 {
        sub[i] = (b[i] & 63) as i8;
        min[i] = b[4 + i] & 63;
        sub[4 + i] = (b[8 + i] & 15 | b[i] >> 6 << 4) as i8;
        min[4 + i] = b[8 + i] >> 4 | b[4 + i] >> 6 << 4;
    }
}
