//! Choosing experts, and what they make of their rows.

use super::{Matrix, dense, pointwise};
use crate::{ExpertUnit, Experts, RouteGroups, Router, Scoring, Weights};

/// `[rows, 2 * k]`: ids, then weights.
pub(super) fn route(op: &Router, weights: &Weights, logits: &Matrix) -> Matrix {
    let bias = op.bias.map(|id| dense::vector(&weights[id]));
    let mut out = Matrix::zeros(logits.rows(), 2 * op.k);
    for row in 0..logits.rows() {
        if let Scoring::OneByOne { reach } = op.scoring {
            one_by_one(op, reach, logits.row(row), out.row_mut(row));
            continue;
        }
        let scores = score(op.scoring, logits.row(row));
        let bias = |e: usize| bias.as_ref().map_or(0.0, |bias| f64::from(bias[e]));
        let mut choice: Vec<f64> = scores.iter().enumerate().map(|(e, s)| s + bias(e)).collect();
        if let Some(groups) = op.groups {
            drop_groups(groups, &mut choice);
        }
        let chosen = largest(&choice, op.k);
        let sum: f64 = chosen.iter().map(|&e| scores[e]).sum();
        // an all but empty sum is left alone, as the reference implementations do
        let divisor = if op.normalise { sum.max(1e-20) } else { 1.0 };
        for (i, &e) in chosen.iter().enumerate() {
            out.row_mut(row)[i] = e as f32;
            out.row_mut(row)[op.k + i] = (scores[e] / divisor * f64::from(op.scale)) as f32;
        }
    }
    out
}

/// Ids and weights of a row; see [`Scoring::OneByOne`].
fn one_by_one(op: &Router, reach: f32, logits: &[f32], out: &mut [f32]) {
    // the two zeros are one number
    let logits: Vec<f64> = logits.iter().map(|&x| f64::from(x) + 0.0).collect();
    let mut left: Vec<usize> = (0..logits.len()).collect();
    for i in 0..op.k {
        let of_left: Vec<f64> = left.iter().map(|&e| logits[e]).collect();
        let best = left[largest(&of_left, 1)[0]];
        let top = logits[best];
        let far = |x: f64| (top - x) / x.abs().max(top) > f64::from(reach);
        let powers = of_left.iter().filter(|&&x| !far(x)).map(|x| (x - top).exp());
        out[i] = best as f32;
        out[op.k + i] = (f64::from(op.scale) / powers.sum::<f64>()) as f32;
        left.retain(|&e| e != best);
    }
}

fn score(scoring: Scoring, logits: &[f32]) -> Vec<f64> {
    let logits = logits.iter().map(|&x| f64::from(x));
    match scoring {
        Scoring::Sigmoid => logits.map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
        // which has no scores but those of the experts left
        Scoring::Softmax | Scoring::OneByOne { .. } => {
            let max = logits.clone().fold(f64::NEG_INFINITY, f64::max);
            let powers: Vec<f64> = logits.map(|x| (x - max).exp()).collect();
            let sum: f64 = powers.iter().sum();
            powers.into_iter().map(|x| x / sum).collect()
        }
    }
}

/// Experts of groups that are not considered are never chosen.
fn drop_groups(groups: RouteGroups, choice: &mut [f64]) {
    let size = choice.len() / groups.count;
    let two_best = |group: &[f64]| largest(group, 2).into_iter().map(|e| group[e]).sum::<f64>();
    let sums: Vec<f64> = choice.chunks(size).map(two_best).collect();
    let kept = largest(&sums, groups.kept);
    for (group, choice) in choice.chunks_mut(size).enumerate() {
        if !kept.contains(&group) {
            choice.fill(f64::NEG_INFINITY);
        }
    }
}

/// Indices of the `k` largest, descending, ties to the lowest index.
fn largest(values: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
    order.truncate(k);
    order
}

pub(super) fn experts(op: &Experts, weights: &Weights, x: &Matrix, routes: &Matrix) -> Matrix {
    let mut out = Matrix::zeros(x.rows(), x.width);
    for row in 0..x.rows() {
        let input = Matrix { width: x.width, data: x.row(row).to_vec() };
        let (ids, shares) = routes.row(row).split_at(op.k);
        let mut sum = vec![0.0; x.width];
        for (&id, &share) in ids.iter().zip(shares) {
            let expert = &op.experts[id as usize];
            let product = |part: &_, x: &Matrix| dense::product(part, weights, x);
            let up = product(&expert.up, &input);
            let inner = match (op.unit, &expert.gate) {
                (ExpertUnit::Gated(unit), Some(gate)) => {
                    pointwise::glu(unit, &product(gate, &input), &up)
                }
                (ExpertUnit::Plain(f), _) => pointwise::map(&up, |x| pointwise::activate(f, x)),
                // the builder has seen to it
                (ExpertUnit::Gated(_), None) => up,
            };
            let made = product(&expert.down, &inner);
            for (sum, y) in sum.iter_mut().zip(made.row(0)) {
                *sum += f64::from(share) * f64::from(*y);
            }
        }
        for (y, sum) in out.row_mut(row).iter_mut().zip(sum) {
            *y = sum as f32;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn router(k: usize) -> Router {
        let scoring = Scoring::Softmax;
        Router { k, scoring, bias: None, groups: None, normalise: true, scale: 1.0 }
    }

    fn routed(op: &Router, logits: &[f32]) -> Vec<f32> {
        let logits = Matrix { width: logits.len(), data: logits.to_vec() };
        route(op, &Weights::default(), &logits).data
    }

    #[test]
    fn normalised_softmax_is_that_of_the_chosen() {
        let routes = routed(&router(2), &[0.0, 2.0, -1.0, 1.0]);
        let share = 1.0 / (1.0 + (-1f32).exp());
        assert_eq!(routes[..2], [1.0, 3.0]);
        assert!((routes[2] - share).abs() < 1e-6 && (routes[3] - (1.0 - share)).abs() < 1e-6);
    }

    #[test]
    fn ties_go_to_the_lowest() {
        assert_eq!(routed(&router(3), &[1.0; 5])[..3], [0.0, 1.0, 2.0]);
    }

    #[test]
    fn one_by_one_the_far_ones_do_not_count() {
        let scoring = Scoring::OneByOne { reach: 0.5 };
        let op = Router { scoring, normalise: false, scale: 2.0, ..router(2) };
        // 3 is a quarter of 4 behind it, 1 three quarters; of those left, 1 is two thirds of 3 behind.
        let routes = routed(&op, &[1.0, 4.0, 3.0]);
        let share = 2.0 / (1.0 + (-1f32).exp());
        assert_eq!((routes[0], routes[1], routes[3]), (1.0, 2.0, 2.0));
        assert!((routes[2] - share).abs() < 1e-6);
        // Below zero the distance is a part of the smaller one's magnitude.
        let routes = routed(&op, &[-1.0, -1.5, -3.0]);
        let share = 2.0 / (1.0 + (-0.5f32).exp());
        assert!((routes[2] - share).abs() < 1e-6, "{routes:?}");
    }

    #[test]
    fn groups_are_chosen_by_their_two_best() {
        let groups = Some(RouteGroups { count: 2, kept: 1 });
        let op = Router { groups, scoring: Scoring::Sigmoid, normalise: false, ..router(2) };
        // The best expert is in the first group, the best two together in the second.
        let routes = routed(&op, &[3.0, -9.0, -9.0, 2.0, 2.5, 2.0]);
        assert_eq!(routes[..2], [4.0, 3.0]);
    }
}
