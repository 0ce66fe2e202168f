//! mlx's affine recipe.

use super::{Parts, narrow, range};
use crate::{Float, bits::pack};

/// Smallest scale, so that a group without any range divides by something.
const SMALLEST: f32 = 1e-7;

/// Encodes groups; scales and biases are rounded to `float` only after the codes are chosen.
pub(super) fn encode(bits: u8, group: u16, float: Float, values: &[f32]) -> Parts {
    let (mut scales, mut biases, mut codes) = (Vec::new(), Vec::new(), Vec::new());
    let top = f32::from(u8::MAX >> (8 - bits));
    for group in values.chunks_exact(usize::from(group)) {
        let (scale, bias) = scale_and_bias(group, top);
        let code = |&v: &f32| ((v - bias) / scale).round_ties_even().clamp(0.0, top) as u8;
        pack(bits, &group.iter().map(code).collect::<Vec<_>>(), &mut codes);
        scales.push(scale);
        biases.push(bias);
    }
    Parts { codes, scales: narrow(float, &scales), biases: narrow(float, &biases) }
}

/// The bias is the end of the range with the larger magnitude, and the scale is adjusted so that
/// zero is a code exactly; a range near zero on both ends keeps bias 0.
fn scale_and_bias(group: &[f32], top: f32) -> (f32, f32) {
    let (lo, hi) = range(group);
    let from_below = lo.abs() > hi.abs();
    let step = ((hi - lo) / top).max(SMALLEST);
    let (scale, edge) = if from_below { (step, lo) } else { (-step, hi) };
    let steps = (edge / scale).round_ties_even();
    if steps == 0.0 { (scale, 0.0) } else { (edge / steps, edge) }
}
