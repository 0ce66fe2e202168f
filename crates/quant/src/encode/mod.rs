//! Reference encoders: slow, plain and deterministic.
//!
//! mlx's packings and the GGUF types that gguf-py can encode are bit for bit what those packages
//! make. K-quants and IQ4 have no single definition: here each group takes the scale that its own
//! range asks for, without the search for a smaller error that llama.cpp's encoder does.

mod affine;
mod kquant;
mod microscale;
mod simple;
mod table;

use half::{bf16, f16};
use tessera_formats::{Bytes, GgmlType};

use crate::{Error, Float, Packing, Result, RowOrder, Weight};

/// Encodes `values`, row after row, as a matrix `[rows, cols]`.
///
/// # Errors
/// [`Error::Encode`] when the values are not `rows * cols` in number, either is 0, a row is not a
/// whole number of the packing's blocks, or an affine packing has bits or groups that do not exist;
/// [`Error::NotFinite`] when a value is NaN or infinite, or too large for the type of the scales.
pub fn encode(packing: Packing, rows: usize, cols: usize, values: &[f32]) -> Result<Weight> {
    let fits = rows.checked_mul(cols) == Some(values.len()) && !values.is_empty();
    if !fits || !packing.is_valid() || !cols.is_multiple_of(packing.block()) {
        return Err(Error::Encode { values: values.len(), rows, cols, packing });
    }
    if let Some(at) = values.iter().position(|v| !v.is_finite()) {
        return Err(Error::NotFinite { tensor: "values to encode".to_owned(), row: at / cols });
    }
    let parts = match packing {
        Packing::Dense(float) => Parts { codes: narrow(float, values), ..Parts::default() },
        Packing::Affine { bits, group, scale } => affine::encode(bits, group, scale, values),
        Packing::Mxfp4 | Packing::Nvfp4 | Packing::Mxfp8 => microscale::encode(packing, values),
        Packing::Ggml(kind) => Parts { codes: ggml(kind, values), ..Parts::default() },
    };
    let companion = |bytes: Vec<u8>| (!bytes.is_empty()).then(|| Bytes::from(bytes));
    let weight = Weight {
        packing,
        rows,
        cols,
        codes: parts.codes.into(),
        scales: companion(parts.scales),
        biases: companion(parts.biases),
        order: RowOrder::Plain,
    };
    weight.check_finite("encoded values")?;
    Ok(weight)
}

/// The bytes of an encoded matrix.
#[derive(Default)]
struct Parts {
    codes: Vec<u8>,
    scales: Vec<u8>,
    biases: Vec<u8>,
}

fn ggml(kind: GgmlType, values: &[f32]) -> Vec<u8> {
    use GgmlType::*;
    match kind {
        Q4_0 => blocks(values, simple::q4_0),
        Q4_1 => blocks(values, simple::q4_1),
        Q5_0 => blocks(values, simple::q5_0),
        Q5_1 => blocks(values, simple::q5_1),
        Q8_0 => blocks(values, simple::q8_0),
        Q2_K => blocks(values, kquant::q2_k),
        Q3_K => blocks(values, kquant::q3_k),
        Q4_K => blocks(values, kquant::q4_k),
        Q5_K => blocks(values, kquant::q5_k),
        Q6_K => blocks(values, kquant::q6_k),
        IQ4_NL => blocks(values, table::iq4_nl),
        IQ4_XS => blocks(values, table::iq4_xs),
        MXFP4 => blocks(values, table::mxfp4),
    }
}

/// Encodes blocks of `E` values, one after the other.
fn blocks<const E: usize, const B: usize>(values: &[f32], f: fn(&[f32; E]) -> [u8; B]) -> Vec<u8> {
    values.as_chunks::<E>().0.iter().flat_map(f).collect()
}

/// Values rounded to `float`, little-endian.
fn narrow(float: Float, values: &[f32]) -> Vec<u8> {
    match float {
        Float::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Float::F16 => values.iter().flat_map(|v| f16::from_f32(*v).to_le_bytes()).collect(),
        Float::BF16 => values.iter().flat_map(|v| bf16::from_f32(*v).to_le_bytes()).collect(),
    }
}

/// The f16 nearest to `value`, and its bytes.
fn to_half(value: f32) -> (f32, [u8; 2]) {
    let half = f16::from_f32(value);
    (half.to_f32(), half.to_le_bytes())
}

/// `1 / value`, or 0 where the value is 0.
fn inverse(value: f32) -> f32 {
    if value == 0.0 { 0.0 } else { 1.0 / value }
}

/// The first value of the largest magnitude, with its sign.
fn extreme(values: &[f32]) -> f32 {
    values.iter().fold(0.0, |best: f32, &v| if v.abs() > best.abs() { v } else { best })
}

/// `(smallest, largest)`.
fn range(values: &[f32]) -> (f32, f32) {
    values.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(lo, hi), &v| (lo.min(v), hi.max(v)))
}
