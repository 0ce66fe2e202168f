//! Attention over remembered keys and values.

use super::{Matrix, dense::dot, memory::Memory};
use crate::{Attend, BackendError, Batch, KvDecl};

/// Each query sees the positions up to its own, as far back as the window goes; query head `h` reads
/// key/value head `h / (heads / kv_heads)`.
pub(super) fn attend(
    op: &Attend,
    state: &KvDecl,
    batch: &Batch,
    group: usize,
    queries: &Matrix,
    memory: &Memory,
    sinks: Option<&[f32]>,
) -> Result<Matrix, BackendError> {
    let dim = state.head_dim;
    let mut out = Matrix::zeros(queries.rows(), queries.width);
    for run in &batch.runs {
        let table = batch.table(run, group);
        for i in 0..run.len as usize {
            let (row, position) = (run.row as usize + i, run.position as usize + i);
            let first = (position + 1).saturating_sub(state.window.unwrap_or(usize::MAX));
            let seen = (first..=position)
                .map(|p| memory.entry(op.state, table, p))
                .collect::<Result<Vec<_>, _>>()?;
            for head in 0..op.heads {
                let kv = head / (op.heads / state.kv_heads) * dim;
                let query = &queries.row(row)[head * dim..][..dim];
                let scores = seen.iter().map(|entry| {
                    let score = dot(query, &entry.key[kv..][..dim]) * f64::from(op.scale);
                    op.softcap.map_or(score, |cap| f64::from(cap) * (score / f64::from(cap)).tanh())
                });
                let sink = sinks.map(|sinks| f64::from(sinks[head]));
                let weights = softmax(scores.collect(), sink);
                for (j, y) in out.row_mut(row)[head * dim..][..dim].iter_mut().enumerate() {
                    let terms = seen.iter().zip(&weights);
                    *y = terms.map(|(e, w)| w * f64::from(e.value[kv + j])).sum::<f64>() as f32;
                }
            }
        }
    }
    Ok(out)
}

/// With a `sink`, that score takes its share too.
fn softmax(mut scores: Vec<f64>, sink: Option<f64>) -> Vec<f64> {
    let max = scores.iter().copied().chain(sink).fold(f64::NEG_INFINITY, f64::max);
    scores.iter_mut().for_each(|s| *s = (*s - max).exp());
    let sum = scores.iter().sum::<f64>() + sink.map_or(0.0, |sink| (sink - max).exp());
    scores.iter_mut().for_each(|s| *s /= sum);
    scores
}
