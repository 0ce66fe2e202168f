//! GGUF super-blocks Q2_K to Q6_K by their groups' own ranges.

use super::{extreme, inverse, simple::nibbles, to_half};

/// 16 groups of 16; two-bit codes, four-bit scales and mins.
pub(super) fn q2_k(v: &[f32; 256]) -> [u8; 84] {
    let m = with_mins::<16>(v, 3.0, 15.0);
    let mut out = [0; 84];
    for ((o, s), m) in out.iter_mut().zip(m.sub).zip(m.min) {
        *o = s | m << 4;
    }
    two_bits(&m.codes, &mut out[16..80]);
    out[80..82].copy_from_slice(&m.d);
    out[82..].copy_from_slice(&m.dmin);
    out
}

/// 16 groups of 16; three-bit codes around 4, signed six-bit scales.
pub(super) fn q3_k(v: &[f32; 256]) -> [u8; 110] {
    let (d, sub, codes) = centred::<4>(v, 32.0);
    let mut out = [0; 110];
    high_bits::<2>(&codes, &mut out[..32]);
    two_bits(&codes, &mut out[32..96]);
    for (i, s) in sub.into_iter().enumerate() {
        let stored = (s + 32) as u8;
        out[96 + i % 8] |= (stored & 15) << (4 * (i / 8));
        out[104 + i % 4] |= stored >> 4 << (2 * (i / 4));
    }
    out[108..].copy_from_slice(&d);
    out
}

/// 8 groups of 32; four-bit codes, six-bit scales and mins.
pub(super) fn q4_k(v: &[f32; 256]) -> [u8; 144] {
    let m = with_mins::<32>(v, 15.0, 63.0);
    let mut out = [0; 144];
    out[..2].copy_from_slice(&m.d);
    out[2..4].copy_from_slice(&m.dmin);
    six_bit_pairs(&m.sub, &m.min, &mut out[4..16]);
    for (codes, o) in m.codes.as_chunks::<64>().0.iter().zip(out[16..].as_chunks_mut::<32>().0) {
        nibbles(codes, o);
    }
    out
}

/// 8 groups of 32; five-bit codes, six-bit scales and mins.
pub(super) fn q5_k(v: &[f32; 256]) -> [u8; 176] {
    let m = with_mins::<32>(v, 31.0, 63.0);
    let mut out = [0; 176];
    out[..2].copy_from_slice(&m.d);
    out[2..4].copy_from_slice(&m.dmin);
    six_bit_pairs(&m.sub, &m.min, &mut out[4..16]);
    high_bits::<4>(&m.codes, &mut out[16..48]);
    for (codes, o) in m.codes.as_chunks::<64>().0.iter().zip(out[48..].as_chunks_mut::<32>().0) {
        nibbles(codes, o);
    }
    out
}

/// 16 groups of 16; six-bit codes around 32, signed eight-bit scales.
pub(super) fn q6_k(v: &[f32; 256]) -> [u8; 210] {
    let (d, sub, codes) = centred::<32>(v, 128.0);
    let mut out = [0; 210];
    for (half, codes) in codes.as_chunks::<128>().0.iter().enumerate() {
        nibbles(codes, &mut out[64 * half..64 * (half + 1)]);
        for (i, c) in codes.iter().enumerate() {
            out[128 + 32 * half + i % 32] |= c >> 4 << (2 * (i / 32));
        }
    }
    for (o, s) in out[192..208].iter_mut().zip(sub) {
        *o = s as u8;
    }
    out[208..].copy_from_slice(&d);
    out
}

/// Integer scales for the wanted `scales`, signed, the extreme one becoming `-limit`: the f16 unit
/// they are multiples of, its bytes, and the multiples.
pub(super) fn two_level(scales: &[f32], limit: f32) -> (f32, [u8; 2], Vec<i8>) {
    let (d, bytes) = to_half(extreme(scales) / -limit);
    let id = inverse(d);
    let sub = scales.iter().map(|s| (s * id).round().clamp(-limit, limit - 1.0) as i8).collect();
    (d, bytes, sub)
}

/// 16 groups of 16 codes around `ZERO`: the extreme value of a group becomes code 0.
fn centred<const ZERO: u8>(v: &[f32; 256], limit: f32) -> ([u8; 2], Vec<i8>, [u8; 256]) {
    let zero = f32::from(ZERO);
    let groups = v.as_chunks::<16>().0;
    let wanted: Vec<f32> = groups.iter().map(|g| extreme(g) / -zero).collect();
    let (d, bytes, sub) = two_level(&wanted, limit);
    let mut codes = [0; 256];
    for ((group, s), codes) in groups.iter().zip(&sub).zip(codes.as_chunks_mut::<16>().0) {
        let id = inverse(d * f32::from(*s));
        *codes = group.map(|x| ((x * id).round() + zero).clamp(0.0, 2.0 * zero - 1.0) as u8);
    }
    (bytes, sub, codes)
}

/// A super-block with scales and mins.
struct WithMins {
    d: [u8; 2],
    dmin: [u8; 2],
    sub: Vec<u8>,
    min: Vec<u8>,
    codes: [u8; 256],
}

/// Groups of `G`, from `min(0, smallest)` in steps that reach the largest; codes up to `top`,
/// integer scales and mins up to `limit`.
fn with_mins<const G: usize>(v: &[f32; 256], top: f32, limit: f32) -> WithMins {
    let groups = v.as_chunks::<G>().0;
    let ends =
        groups.iter().map(|g| g.iter().fold((0f32, 0f32), |(l, h), &x| (l.min(x), h.max(x))));
    let (mins, scales): (Vec<f32>, Vec<f32>) = ends.map(|(l, h)| (-l, (h - l) / top)).unzip();
    // Scales and mins are rounded to the nearest multiple of an f16 unit.
    let level = |wanted: &[f32]| {
        let (unit, bytes) = to_half(wanted.iter().fold(0f32, |m, &x| m.max(x)) / limit);
        let id = inverse(unit);
        let sub: Vec<u8> = wanted.iter().map(|x| (x * id).round().min(limit) as u8).collect();
        (unit, bytes, sub)
    };
    let ((d, d_bytes, sub), (dmin, dmin_bytes, min)) = (level(&scales), level(&mins));
    let mut codes = [0; 256];
    let chunks = codes.as_chunks_mut::<G>().0;
    for (((group, s), m), codes) in groups.iter().zip(&sub).zip(&min).zip(chunks) {
        let (id, low) = (inverse(d * f32::from(*s)), dmin * f32::from(*m));
        *codes = group.map(|x| ((x + low) * id).round().clamp(0.0, top) as u8);
    }
    WithMins { d: d_bytes, dmin: dmin_bytes, sub, min, codes }
}

/// Low two bits of the codes, laid out as Q2_K and Q3_K have them.
fn two_bits(codes: &[u8; 256], out: &mut [u8]) {
    for (i, c) in codes.iter().enumerate() {
        out[i / 128 * 32 + i % 32] |= (c & 3) << (2 * (i / 32 % 4));
    }
}

/// Bit `AT` of the codes: that of element `32 k + i` goes to bit `k` of byte `i`.
fn high_bits<const AT: u32>(codes: &[u8; 256], out: &mut [u8]) {
    for (i, c) in codes.iter().enumerate() {
        out[i % 32] |= (c >> AT & 1) << (i / 32);
    }
}

/// Eight six-bit scales and mins in twelve bytes, as Q4_K and Q5_K have them.
fn six_bit_pairs(sub: &[u8], min: &[u8], out: &mut [u8]) {
    for i in 0..4 {
        out[i] = sub[i] | sub[4 + i] >> 4 << 6;
        out[4 + i] = min[i] | min[4 + i] >> 4 << 6;
        out[8 + i] = sub[4 + i] & 15 | min[4 + i] << 4;
    }
}
