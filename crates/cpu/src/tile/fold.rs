//! Biases that are a zero point in disguise.
//!
//! A symmetric mlx matrix stores for every group `bias = -zero * scale`, with one small integer `zero` (8
//! for 4 bits, 128 for 8): what Q4_0 and Q8_0 leave unsaid. Such a matrix is laid out as codes with a zero
//! point. It has fewer bytes to read, the zero point is subtracted in integers, and the logits are the bits
//! that the GGUF twin gives.

use tessera_quant::{Codes, Float, Form, RowScales, Scales, Weight};

/// The normal form of `weight`, without biases where they say no more than a zero point.
///
/// Scales are read once, until the first row that disagrees: the first or second of a matrix whose groups
/// have ranges of their own.
pub(super) fn form(weight: &Weight) -> Form {
    let form = weight.form();
    match (form.codes, form.scales) {
        // With f32 scales `scale * code + bias` is rounded twice and `scale * (code - zero)` once; the
        // products of narrower ones are exact, and so both are the same number.
        (
            Codes::Int { bits, zero: 0 },
            Scales::Float { float: float @ (Float::F16 | Float::BF16), bias: true },
        ) => match zero(weight) {
            Some(zero) => Form {
                codes: Codes::Int { bits, zero },
                scales: Scales::Float { float, bias: false },
                ..form
            },
            None => form,
        },
        _ => form,
    }
}

/// The integer, if there is one, with `bias == -zero * scale` in every group.
fn zero(weight: &Weight) -> Option<u8> {
    let mut row = RowScales::default();
    let mut found = None;
    for r in 0..weight.rows {
        weight.read_scales(r, &mut row);
        let groups = || row.scale.iter().zip(&row.bias);
        // a group of scale 0 tells nothing
        if let (None, Some((scale, bias))) = (found, groups().find(|&(&scale, _)| scale != 0.0)) {
            let quotient = -bias / scale;
            let zero = quotient as u8; // what does not fit fails below
            (f32::from(zero) == quotient).then_some(())?;
            found = Some(zero);
        }
        let zero = f32::from(found.unwrap_or(0));
        // exact in f32, and without a branch a group; NaN is equal to nothing
        if !groups().fold(true, |same, (scale, bias)| same & (*bias == -zero * scale)) {
            return None;
        }
    }
    Some(found.unwrap_or(0))
}
