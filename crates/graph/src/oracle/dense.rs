//! Operations over whole rows: embedding, norm, linear, selection.

use tessera_quant::Weight;

use super::{Matrix, pointwise};
use crate::{Batch, Epilogue, LayerNorm, Linear, Part, RmsNorm, Weights};

/// Sum of products, accumulated in f64.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
}

pub(super) fn vector(weight: &Weight) -> Vec<f32> {
    let mut data = vec![0.0; weight.cols];
    weight.decode_row(0, &mut data);
    data
}

pub(super) fn embed(table: &Weight, scale: f32, tokens: &[u32]) -> Matrix {
    let mut out = Matrix::zeros(tokens.len(), table.cols);
    for (row, &token) in tokens.iter().enumerate() {
        table.decode_row(token as usize, out.row_mut(row));
        out.row_mut(row).iter_mut().for_each(|x| *x *= scale);
    }
    out
}

pub(super) fn rms_norm(norm: &RmsNorm, weights: &Weights, x: &Matrix) -> Matrix {
    let weight = vector(&weights[norm.weight]);
    let mut out = x.clone();
    let len = x.width / norm.heads;
    // each head's own part of a weight of the whole width, or the one that they share
    let parts = weight.len() / len;
    for (head, group) in out.data.chunks_exact_mut(len).enumerate() {
        let weight = &weight[head % parts * len..][..len];
        let mean = dot(group, group) / group.len() as f64;
        let factor = 1.0 / (mean + f64::from(norm.eps)).sqrt();
        for (x, w) in group.iter_mut().zip(weight) {
            *x = (f64::from(*x) * factor * f64::from(w + norm.offset)) as f32;
        }
    }
    out
}

pub(super) fn layer_norm(norm: &LayerNorm, weights: &Weights, x: &Matrix) -> Matrix {
    let (weight, bias) = (vector(&weights[norm.weight]), vector(&weights[norm.bias]));
    let mut out = x.clone();
    for row in out.data.chunks_exact_mut(x.width) {
        let len = row.len() as f64;
        let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / len;
        let variance = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / len;
        let factor = 1.0 / (variance + f64::from(norm.eps)).sqrt();
        for ((x, w), b) in row.iter_mut().zip(&weight).zip(&bias) {
            *x = ((f64::from(*x) - mean) * factor * f64::from(*w) + f64::from(*b)) as f32;
        }
    }
    out
}

/// One output for each part, except with an epilogue: see [`Linear`].
pub(super) fn linear(op: &Linear, weights: &Weights, inputs: &[&Matrix]) -> Vec<Matrix> {
    let normed = op.norm.as_ref().map(|norm| rms_norm(norm, weights, inputs[0]));
    let x = normed.as_ref().unwrap_or(inputs[0]);
    let products: Vec<Matrix> = op.parts.iter().map(|part| product(part, weights, x)).collect();
    match op.epilogue {
        Epilogue::None => products,
        Epilogue::Residual => vec![pointwise::add(&products[0], inputs[1])],
        Epilogue::Glu(unit) => vec![pointwise::glu(unit, &products[0], &products[1])],
    }
}

/// `x * weight^T + bias`.
pub(super) fn product(part: &Part, weights: &Weights, x: &Matrix) -> Matrix {
    let weight = &weights[part.weight];
    let bias = part.bias.map(|id| vector(&weights[id]));
    let mut out = Matrix::zeros(x.rows(), weight.rows);
    let mut weights_row = vec![0.0; weight.cols];
    for o in 0..weight.rows {
        weight.decode_row(o, &mut weights_row);
        let bias = bias.as_ref().map_or(0.0, |b| b[o]);
        for row in 0..x.rows() {
            out.row_mut(row)[o] = (dot(&weights_row, x.row(row)) + f64::from(bias)) as f32;
        }
    }
    out
}

pub(super) fn select(x: &Matrix, batch: &Batch) -> Matrix {
    let rows = batch.outputs.iter().flat_map(|output| x.row(output.row as usize));
    Matrix { width: x.width, data: rows.copied().collect() }
}
