//! What becomes of logits, and what the choice goes by. A lane has the experts `ids`.

use tessera_tile::prelude::*;

use super::{LOW, Route, Scores};
use crate::unit::sigmoid;

/// What becomes of the logits; anything for experts that are not there.
#[device]
pub(super) fn scores(k: &Route, ids: &[Val<u32>], logits: &[Val<f32>]) -> Vec<Val<f32>> {
    if matches!(k.scores, Scores::Sigmoid) {
        logits.iter().map(|&x| sigmoid(x)).collect()
    } else {
        let known = |least: f32| {
            ids.iter().zip(logits).map(move |(&id, &x)| select(id < k.experts, x, least))
        };
        let most = simd_max(known(LOW).reduce(|a, b| max(a, b)).expect("an expert"));
        let powers: Vec<_> = known(LOW).map(|x| exp(x - most)).collect();
        let sum = simd_sum(powers.iter().copied().reduce(|a, b| a + b).expect("an expert"));
        powers.into_iter().map(|x| x / sum).collect()
    }
}

/// What the choice goes by: a score with its bias, and [`LOW`] for experts that are not there.
#[device]
pub(super) fn choices(
    k: &Route,
    ids: &[Val<u32>],
    bias: Option<In<F32>>,
    scores: &[Val<f32>],
) -> Vec<Val<f32>> {
    let choice = |(&id, &score): (&Val<u32>, &Val<f32>)| {
        let score = bias.map_or(score, |bias| score + bias.at(min(id, k.experts - 1)));
        select(id < k.experts, score, LOW)
    };
    ids.iter().zip(scores).map(choice).collect()
}

/// The weight of the largest, `best`, of the logits left, where they are chosen one by one.
#[device]
pub(super) fn one_by_one(
    k: &Route,
    keys: &[Var<f32>],
    best: Val<f32>,
    reach: Val<f32>,
) -> Option<Val<f32>> {
    matches!(k.scores, Scores::OneByOne).then(|| {
        let power = |key: &Var<f32>| {
            let x = key.get();
            let far = (best - x) / max(abs(x), best) > reach;
            select((x > LOW) & !far, exp(x - best), 0.0)
        };
        let powers = keys.iter().map(power).reduce(|a, b| a + b);
        val(1.0) / simd_sum(powers.expect("an expert"))
    })
}
