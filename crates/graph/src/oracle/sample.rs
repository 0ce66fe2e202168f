//! Drawing a token, the obvious way. Sorting the vocabulary is allowed here: this is the reference that
//! backends, which may not sort, are tested against.
//!
//! Weights of tokens are `exp((logit - max) / temperature)` in f32, their sums f64. Top-p and min-p
//! look at the probabilities of the tokens that the earlier steps kept.

use std::cmp::Ordering;

use crate::{Sampled, Sampling, TokenCount, random};

/// Draws from one row of logits; `position` is the one the drawn token will have.
pub fn sample(
    logits: &[f32],
    sampling: &Sampling,
    history: &[TokenCount],
    position: u32,
) -> Sampled {
    let adjusted = adjust(logits, sampling, history);
    let token = if sampling.temperature == 0.0 {
        ranked(&adjusted)[0]
    } else {
        draw(keep(weigh(&adjusted, sampling), sampling), random::uniform(sampling.seed, position))
            .unwrap_or_else(|| ranked(&adjusted)[0])
    };
    report(logits, sampling, token)
}

/// Bias, then penalties.
fn adjust(logits: &[f32], sampling: &Sampling, history: &[TokenCount]) -> Vec<f32> {
    let mut logits = logits.to_vec();
    for &(token, bias) in &sampling.bias {
        logits[token as usize] += bias;
    }
    for count in history {
        let logit = &mut logits[count.token as usize];
        let penalty = sampling.repetition_penalty;
        *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
        if count.generated > 0 {
            *logit -= sampling.presence_penalty;
            *logit -= sampling.frequency_penalty * count.generated as f32;
        }
    }
    logits
}

/// Token ids from the most to the least likely, ties to the lowest id; NaN is least likely.
fn ranked(scores: &[f32]) -> Vec<usize> {
    let key = |i: usize| if scores[i].is_nan() { f32::NEG_INFINITY } else { scores[i] };
    let mut order: Vec<usize> = (0..scores.len()).collect();
    // A stable sort: equal scores stay in the order of their ids.
    order.sort_by(|&a, &b| key(b).partial_cmp(&key(a)).unwrap_or(Ordering::Equal));
    order
}

/// `exp((logit - max) / temperature)`: probabilities, but for a common factor.
fn weigh(logits: &[f32], sampling: &Sampling) -> Vec<f32> {
    let max = logits[ranked(logits)[0]];
    logits.iter().map(|&logit| ((logit - max) / sampling.temperature).exp()).collect()
}

/// Zeroes the weights that top-k, top-p and min-p drop.
fn keep(weights: Vec<f32>, sampling: &Sampling) -> Vec<f32> {
    let mut order = ranked(&weights);
    if sampling.top_k > 0 {
        order.truncate(sampling.top_k as usize);
    }
    if sampling.top_p < 1.0 {
        let total: f64 = order.iter().map(|&i| f64::from(weights[i])).sum();
        let mut sum = 0.0;
        let reached = order.iter().position(|&i| {
            sum += f64::from(weights[i]);
            sum >= f64::from(sampling.top_p) * total
        });
        order.truncate(reached.map_or(order.len(), |i| i + 1));
    }
    let least = sampling.min_p * weights[order[0]];
    let mut kept = vec![0.0; weights.len()];
    for i in order.into_iter().filter(|&i| weights[i] >= least) {
        kept[i] = weights[i];
    }
    kept
}

/// The first token, in order of ids, at which the running sum exceeds `u` of the total; `None` when
/// there is no such token (logits that are not numbers).
fn draw(weights: Vec<f32>, u: f32) -> Option<usize> {
    let total: f64 = weights.iter().map(|&w| f64::from(w)).sum();
    let mut sum = 0.0;
    weights.iter().position(|&w| {
        sum += f64::from(w);
        sum > f64::from(u) * total
    })
}

/// Log probabilities are those of the unmodified logits.
fn report(logits: &[f32], sampling: &Sampling, token: usize) -> Sampled {
    let mut sampled = Sampled { token: token as u32, ..Default::default() };
    if sampling.logprobs || sampling.top_logprobs > 0 {
        let order = ranked(logits);
        let max = f64::from(logits[order[0]]);
        let sum: f64 = logits.iter().map(|&x| (f64::from(x) - max).exp()).sum();
        let logprob = |i: usize| (f64::from(logits[i]) - max - sum.ln()) as f32;
        let top = order.iter().take(sampling.top_logprobs as usize);
        sampled.top = top.map(|&i| (i as u32, logprob(i))).collect();
        if sampling.logprobs {
            sampled.logprob = logprob(token);
        }
    }
    sampled
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, 2.0, 3.0, -1.0];

    fn at(temperature: f32) -> Sampling {
        Sampling { temperature, ..Default::default() }
    }

    fn kept(sampling: Sampling) -> Vec<usize> {
        let kept = keep(weigh(&LOGITS, &sampling), &sampling);
        (0..kept.len()).filter(|&i| kept[i] > 0.0).collect()
    }

    #[test]
    fn greedy_takes_the_lowest_of_equals() {
        assert_eq!(sample(&LOGITS, &at(0.0), &[], 0).token, 1);
        assert_eq!(sample(&[f32::NAN, 0.0, f32::INFINITY], &at(0.0), &[], 0).token, 2);
        assert_eq!(sample(&[f32::NAN; 3], &at(1.0), &[], 0).token, 0);
    }

    #[test]
    fn filters_keep_what_they_promise() {
        assert_eq!(kept(Sampling { top_k: 1, ..at(1.0) }), [1]);
        assert_eq!(kept(Sampling { top_k: 3, ..at(1.0) }), [1, 2, 3]);
        assert_eq!(kept(Sampling { top_p: 0.0, ..at(1.0) }), [1]);
        // Probabilities are 0.054, 0.397, 0.146, 0.397, 0.007; the crossing token is kept.
        assert_eq!(kept(Sampling { top_p: 0.83, ..at(1.0) }), [1, 2, 3]);
        assert_eq!(kept(Sampling { top_p: 0.79, ..at(1.0) }), [1, 3]);
        assert_eq!(kept(Sampling { min_p: 0.3, ..at(1.0) }), [1, 2, 3]);
        assert_eq!(kept(Sampling { min_p: 1.0, ..at(1.0) }), [1, 3]);
        // Top-p counts probabilities among those that top-k kept: 0.79 of all is 0.84 of three.
        assert_eq!(kept(Sampling { top_k: 3, top_p: 0.83, ..at(1.0) }), [1, 3]);
    }

    #[test]
    fn penalties_and_bias_apply_in_order() {
        let sampling = Sampling {
            repetition_penalty: 2.0,
            presence_penalty: 0.25,
            frequency_penalty: 0.5,
            bias: vec![(0, 5.0), (4, -1.0)],
            ..at(0.0)
        };
        let seen = |token, generated| TokenCount { token, generated };
        let adjusted = adjust(&LOGITS, &sampling, &[seen(0, 2), seen(4, 0), seen(2, 1)]);
        assert_eq!(adjusted, [3.0 - 1.25, 3.0, 1.0 - 0.75, 3.0, -4.0]);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let n = 20_000;
        let mut counts = [0.0; 5];
        for position in 0..n {
            counts[sample(&LOGITS, &Sampling { seed: 3, ..at(2.0) }, &[], position).token
                as usize] += 1.0;
        }
        let weights = LOGITS.map(|l| (l / 2.0).exp());
        let total: f32 = weights.iter().sum();
        for (count, weight) in counts.iter().zip(weights) {
            assert!((count / n as f32 - weight / total).abs() < 0.015, "{counts:?}");
        }
    }

    #[test]
    fn log_probabilities_are_of_the_unmodified_logits() {
        let sampling =
            Sampling { logprobs: true, top_logprobs: 3, bias: vec![(4, 9.0)], ..at(0.0) };
        let sampled = sample(&LOGITS, &sampling, &[], 0);
        let log_sum = LOGITS.iter().map(|l| l.exp()).sum::<f32>().ln();
        assert_eq!(sampled.token, 4);
        assert!((sampled.logprob - (-1.0 - log_sum)).abs() < 1e-5);
        assert_eq!(sampled.top.iter().map(|t| t.0).collect::<Vec<_>>(), [1, 3, 2]);
        assert!((sampled.top[2].1 - (2.0 - log_sum)).abs() < 1e-5);
    }
}
