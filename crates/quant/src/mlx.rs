//! mlx layouts: codes as a little-endian bit stream in 32-bit words, scales and biases apart.

use crate::{Packing, bits::unpack, e4m3_to_f32, e8m0_to_f32, float::widen};

/// Writes one code an element; `bits` is 2, 3, 4, 5, 6 or 8.
pub(crate) fn codes(bits: u8, bytes: &[u8], out: &mut [u8]) {
    match bits {
        2 => unpack::<2>(bytes, out),
        3 => unpack::<3>(bytes, out),
        4 => unpack::<4>(bytes, out),
        5 => unpack::<5>(bytes, out),
        6 => unpack::<6>(bytes, out),
        _ => out.copy_from_slice(bytes),
    }
}

/// Writes one scale a group and, for the affine packing, one bias (else `bias` is empty).
pub(crate) fn scales(
    packing: Packing,
    scales: &[u8],
    biases: &[u8],
    scale: &mut [f32],
    bias: &mut [f32],
) {
    let groups = scales.iter().zip(scale.iter_mut());
    match packing {
        Packing::Affine { scale: float, .. } => {
            widen(float, scales, scale);
            widen(float, biases, bias);
        }
        // Halved, because the codes stand for doubled values.
        Packing::Mxfp4 => groups.for_each(|(b, s)| *s = 0.5 * e8m0_to_f32(*b)),
        Packing::Nvfp4 => groups.for_each(|(b, s)| *s = 0.5 * e4m3_to_f32(*b)),
        Packing::Mxfp8 => groups.for_each(|(b, s)| *s = e8m0_to_f32(*b)),
        Packing::Dense(_) | Packing::Ggml(_) => {}
    }
}
