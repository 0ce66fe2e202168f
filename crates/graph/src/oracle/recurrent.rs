//! Operations that remember a state of fixed size, one token after the other.

use super::{Matrix, memory::Memory, pointwise::activate_f64};
use crate::{
    BackendError, Batch, Conv, ConvDecl, Decay, Delta, DeltaDecl, Run, Save, Scan, ScanDecl,
    StateId, Weights,
};

/// Runs `token` for each row of each run, with the state as it was and the row's index, and saves the
/// state wherever the batch asks for it.
fn each(
    id: StateId,
    len: usize,
    batch: &Batch,
    memory: &mut Memory,
    mut token: impl FnMut(&mut [f64], usize),
) -> Result<(), BackendError> {
    for run in &batch.runs {
        let &Run { row, len: rows, position, slot, .. } = run;
        let mut state = memory.slot(id, slot, position, len)?;
        let mut saves = batch.saves(run).iter().peekable();
        for i in 0..rows {
            token(&mut state, (row + i) as usize);
            if let Some(&Save { slot, .. }) = saves.next_if(|save| save.after == i + 1) {
                memory.save(id, slot, position + i + 1, &state);
            }
        }
    }
    Ok(())
}

pub(super) fn conv(
    op: &Conv,
    decl: &ConvDecl,
    weights: &Weights,
    batch: &Batch,
    x: &Matrix,
    memory: &mut Memory,
) -> Result<Matrix, BackendError> {
    let ConvDecl { channels, kernel } = *decl;
    let weight = matrix(weights, op.weight);
    let bias = op.bias.map_or(vec![0.0; channels], |bias| vector(weights, bias));
    let mut out = Matrix::zeros(x.rows(), channels);
    each(op.state, (kernel - 1) * channels, batch, memory, |window, row| {
        let mut seen = window.to_vec();
        seen.extend(x.row(row).iter().map(|&x| f64::from(x)));
        for (c, y) in out.row_mut(row).iter_mut().enumerate() {
            let terms = (0..kernel).map(|j| weight[c][j] * seen[j * channels + c]);
            let sum = bias[c] + terms.sum::<f64>();
            *y = op.activation.map_or(sum, |f| activate_f64(f, sum)) as f32;
        }
        window.copy_from_slice(&seen[channels..]);
    })?;
    Ok(out)
}

pub(super) fn scan(
    op: &Scan,
    decl: &ScanDecl,
    weights: &Weights,
    batch: &Batch,
    [x, dt, b, c]: [&Matrix; 4],
    memory: &mut Memory,
) -> Result<Matrix, BackendError> {
    let ScanDecl { heads, head_dim, state: n } = *decl;
    let rates = rates(op.decay, weights);
    let dt_bias = vector(weights, op.dt_bias);
    let skip = op.skip.map_or(vec![0.0; heads], |skip| vector(weights, skip));
    let (least, greatest) = (f64::from(op.dt_limit.0), f64::from(op.dt_limit.1));
    let mut out = Matrix::zeros(x.rows(), x.width);
    each(op.state, heads * n * head_dim, batch, memory, |state, row| {
        for h in 0..heads {
            let group = h / (heads / op.groups);
            let (b, c) = (&b.row(row)[group * n..][..n], &c.row(row)[group * n..][..n]);
            let x = &x.row(row)[h * head_dim..][..head_dim];
            let y = &mut out.row_mut(row)[h * head_dim..][..head_dim];
            let step = softplus(f64::from(dt.row(row)[h]) + dt_bias[h]).clamp(least, greatest);
            let decay = (rates[h] * step).exp();
            let state = &mut state[h * n * head_dim..][..n * head_dim];
            for (p, y) in y.iter_mut().enumerate() {
                let x = f64::from(x[p]);
                let mut sum = skip[h] * x;
                for i in 0..n {
                    let s = &mut state[i * head_dim + p];
                    *s = decay * *s + step * f64::from(b[i]) * x;
                    sum += f64::from(c[i]) * *s;
                }
                *y = sum as f32;
            }
        }
    })?;
    Ok(out)
}

pub(super) fn delta(
    op: &Delta,
    decl: &DeltaDecl,
    weights: &Weights,
    batch: &Batch,
    inputs: [&Matrix; 5],
    memory: &mut Memory,
) -> Result<Matrix, BackendError> {
    let [q, k, v, a, b] = inputs;
    let DeltaDecl { heads, key_dim, value_dim } = *decl;
    let rates = rates(op.decay, weights);
    let dt_bias = vector(weights, op.dt_bias);
    let unit = |x: &[f32]| -> Vec<f64> {
        let squares: f64 = x.iter().map(|&x| f64::from(x).powi(2)).sum();
        x.iter().map(|&x| f64::from(x) / (squares + f64::from(op.eps)).sqrt()).collect()
    };
    let mut out = Matrix::zeros(v.rows(), v.width);
    each(op.state, heads * key_dim * value_dim, batch, memory, |state, row| {
        for h in 0..heads {
            let key_head = op.order.key_head(h, heads, op.key_heads) * key_dim;
            let q = unit(&q.row(row)[key_head..][..key_dim]);
            let k = unit(&k.row(row)[key_head..][..key_dim]);
            let v = &v.row(row)[h * value_dim..][..value_dim];
            let y = &mut out.row_mut(row)[h * value_dim..][..value_dim];
            let decay = (rates[h] * softplus(f64::from(a.row(row)[h]) + dt_bias[h])).exp();
            let rate = 1.0 / (1.0 + (-f64::from(b.row(row)[h])).exp());
            let state = &mut state[h * key_dim * value_dim..][..key_dim * value_dim];
            state.iter_mut().for_each(|s| *s *= decay);
            for (j, y) in y.iter_mut().enumerate() {
                let known: f64 = (0..key_dim).map(|i| k[i] * state[i * value_dim + j]).sum();
                let correction = rate * (f64::from(v[j]) - known);
                let mut sum = 0.0;
                for i in 0..key_dim {
                    let s = &mut state[i * value_dim + j];
                    *s += k[i] * correction;
                    sum += q[i] * *s;
                }
                *y = (sum / (key_dim as f64).sqrt()) as f32;
            }
        }
    })?;
    Ok(out)
}

/// `ln(1 + exp(x))`, without overflow.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

fn rates(decay: Decay, weights: &Weights) -> Vec<f64> {
    match decay {
        Decay::Log(id) => vector(weights, id).into_iter().map(|w| -w.exp()).collect(),
        Decay::Rate(id) => vector(weights, id),
    }
}

fn vector(weights: &Weights, id: crate::WeightId) -> Vec<f64> {
    matrix(weights, id).swap_remove(0)
}

fn matrix(weights: &Weights, id: crate::WeightId) -> Vec<Vec<f64>> {
    let weight = &weights[id];
    let mut row = vec![0.0; weight.cols];
    let decoded = |r| {
        weight.decode_row(r, &mut row);
        row.iter().map(|&x| f64::from(x)).collect()
    };
    (0..weight.rows).map(decoded).collect()
}
