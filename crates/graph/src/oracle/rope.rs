//! Rotary embedding.

use super::Matrix;
use crate::{Batch, RopeSpec};

/// Cosines, then sines, of each row's position. Angles are f32 products, as in the reference
/// implementations: at long positions the rounding of the angle is part of the model.
pub(super) fn table(spec: &RopeSpec, batch: &Batch) -> Matrix {
    let half = spec.frequencies.len();
    let mut out = Matrix::zeros(batch.tokens.len(), 2 * half);
    for run in &batch.runs {
        for i in 0..run.len {
            let row = out.row_mut((run.row + i) as usize);
            let position = (run.position + i) as f32;
            for (j, frequency) in spec.frequencies.iter().enumerate() {
                let angle = f64::from(position * frequency);
                row[j] = (angle.cos() * f64::from(spec.scale)) as f32;
                row[half + j] = (angle.sin() * f64::from(spec.scale)) as f32;
            }
        }
    }
    out
}

/// Rotates element `i` of each head with element `i + half`, for `i < half`; the rest of the head
/// stays as it is.
pub(super) fn rotate(x: &Matrix, table: &Matrix, heads: usize) -> Matrix {
    let half = table.width / 2;
    let mut out = x.clone();
    for row in 0..x.rows() {
        let (cos, sin) = table.row(row).split_at(half);
        for head in out.row_mut(row).chunks_exact_mut(x.width / heads) {
            for i in 0..half {
                let (a, b) = (head[i], head[i + half]);
                head[i] = a * cos[i] - b * sin[i];
                head[i + half] = b * cos[i] + a * sin[i];
            }
        }
    }
    out
}
