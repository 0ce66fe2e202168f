//! Choosing a row's experts.

use tessera_graph::{Router, Scoring};

use super::math::{exp, load_some, sigmoid};
use crate::isa::{Isa, Kernel, LANES};

/// The experts that a row goes to; see [`Router`]. Scores are computed a vector at a time, and the choice is
/// by partition, so that its cost grows with the experts and not with how many are chosen.
pub(crate) struct Route<'a> {
    pub op: &'a Router,
    /// `[experts]`.
    pub bias: Option<*const f32>,
    /// `[experts]`.
    pub logits: *const f32,
    pub experts: usize,
    /// `[2, k]`: ids, then weights.
    pub out: *mut f32,
    /// `[experts]`, in whole vectors: this thread's own.
    pub scores: *mut f32,
    /// `[keys(experts)]`: this thread's own.
    pub keys: &'a mut [u64],
}

/// Keys that choosing among `experts` takes: theirs and those of groups of at least two.
pub(crate) fn keys(experts: usize) -> usize {
    experts + experts / 2
}

impl Kernel for Route<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        let Self { op, bias, logits, experts, out, scores, keys } = self;
        if let Scoring::OneByOne { reach } = op.scoring {
            // SAFETY: `logits` has `experts` elements, `out` has `2 * k`.
            return unsafe {
                let logits = std::slice::from_raw_parts(logits, experts);
                one_by_one(op, reach, logits, keys, std::slice::from_raw_parts_mut(out, 2 * op.k));
            };
        }
        // SAFETY: all vectors have `experts` elements, `scores` whole vectors of them.
        let (scores, logits, bias) = unsafe {
            match op.scoring {
                // which went its own way
                Scoring::OneByOne { .. } => {}
                Scoring::Softmax => softmax::<S>(logits, experts, scores),
                Scoring::Sigmoid => {
                    for i in (0..experts).step_by(LANES) {
                        let x = load_some::<S>(logits.add(i), LANES.min(experts - i));
                        S::store(scores.add(i), sigmoid::<S>(x));
                    }
                }
            }
            let slice = |p: *const f32| std::slice::from_raw_parts(p, experts);
            (slice(scores.cast_const()), slice(logits), bias.map(slice))
        };
        let chosen = choose(op, scores, logits, bias, keys);
        let sum: f32 = chosen.iter().map(|&key| scores[id(key)]).sum();
        // an all but empty sum is left alone
        let divisor = if op.normalise { sum.max(1e-20) } else { 1.0 };
        for (i, &key) in chosen.iter().enumerate() {
            let e = id(key);
            // SAFETY: `out` has `2 * k` elements.
            unsafe {
                out.add(i).write(e as f32);
                out.add(op.k + i).write(scores[e] / divisor * op.scale);
            }
        }
    }
}

/// Ids and weights of a row; see [`Scoring::OneByOne`].
fn one_by_one(op: &Router, reach: f32, logits: &[f32], keys: &mut [u64], out: &mut [f32]) {
    let keys = &mut keys[..logits.len()];
    keys.iter_mut().enumerate().for_each(|(e, to)| *to = key(logits[e], e));
    let chosen = greatest(keys, op.k);
    let (ids, weights) = out.split_at_mut(op.k);
    for ((&best, to), weight) in chosen.iter().zip(ids).zip(weights) {
        let top = logits[id(best)];
        let far = |x: f32| (top - x) / x.abs().max(top) > reach;
        // those before it have greater keys
        let near = logits.iter().enumerate().filter(|&(e, &x)| key(x, e) <= best && !far(x));
        let sum: f64 = near.map(|(_, x)| f64::from((x - top).exp())).sum();
        *weight = (f64::from(op.scale) / sum) as f32;
        *to = id(best) as f32;
    }
}

/// `exp(x - max) / sum of exp` of `n` numbers, to whole vectors.
///
/// # Safety
/// `x` is good for `n` elements, `out` for as many in whole vectors; the machine has `S`.
#[inline(always)]
unsafe fn softmax<S: Isa>(x: *const f32, n: usize, out: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        let mut top = load::<S>(x, 0, n);
        for i in (LANES..n).step_by(LANES) {
            top = S::max(top, load::<S>(x, i, n));
        }
        let top = S::splat(S::largest(top));
        let mut sum = S::splat(0.0);
        for i in (0..n).step_by(LANES) {
            let power = exp::<S>(S::sub(load::<S>(x, i, n), top));
            S::store(out.add(i), power);
            sum = S::add(sum, power);
        }
        let inverse = S::splat(1.0 / S::sum(sum));
        for i in (0..n).step_by(LANES) {
            S::store(out.add(i), S::mul(S::load(out.add(i).cast_const()), inverse));
        }
    }
}

/// Elements from `i` of `n`, then those that weigh nothing.
///
/// # Safety
/// `x` is good for `n` elements; the machine has `S`.
#[inline(always)]
unsafe fn load<S: Isa>(x: *const f32, i: usize, n: usize) -> S::F {
    let here = LANES.min(n - i);
    // SAFETY: the caller's.
    unsafe { S::keep(load_some::<S>(x.add(i), here), 0, here, f32::NEG_INFINITY) }
}

/// The keys of the experts chosen, best first.
fn choose<'a>(
    op: &Router,
    scores: &[f32],
    logits: &[f32],
    bias: Option<&[f32]>,
    keys: &'a mut [u64],
) -> &'a [u64] {
    let choice = |e: usize| scores[e] + bias.map_or(0.0, |bias| bias[e]);
    // scores grow with the logits, which tell apart more of them
    let key_of = |e: usize| key(if bias.is_some() { choice(e) } else { logits[e] }, e);
    let (keys, groups) = keys.split_at_mut(scores.len());
    let Some(grouping) = op.groups else {
        keys.iter_mut().enumerate().for_each(|(e, key)| *key = key_of(e));
        return greatest(keys, op.k);
    };
    let size = scores.len() / grouping.count;
    let groups = &mut groups[..grouping.count];
    for (group, key_of_group) in groups.iter_mut().enumerate() {
        let (mut best, mut second) = (f32::NEG_INFINITY, f32::NEG_INFINITY);
        for e in group * size..(group + 1) * size {
            let value = choice(e);
            second = second.max(value.min(best));
            best = best.max(value);
        }
        *key_of_group = key(best + second, group);
    }
    let kept = greatest(groups, grouping.kept);
    let experts = kept.iter().flat_map(|&key| id(key) * size..(id(key) + 1) * size);
    for (key, e) in keys.iter_mut().zip(experts) {
        *key = key_of(e);
    }
    greatest(&mut keys[..grouping.kept * size], op.k)
}

/// A number and its id as one integer: the larger number is the larger integer, and of equal numbers
/// that of the lower id. (In the order of all floats, so that NaN has a place too.)
fn key(value: f32, id: usize) -> u64 {
    // the two zeros are one number
    let bits = (value + 0.0).to_bits();
    let ordered = if bits >> 31 == 0 { bits | 1 << 31 } else { !bits };
    u64::from(ordered) << 32 | u64::from(!(id as u32))
}

/// The id of a key.
fn id(key: u64) -> usize {
    !(key as u32) as usize
}

/// The `k` greatest, in falling order.
fn greatest(keys: &mut [u64], k: usize) -> &[u64] {
    if k < keys.len() {
        keys.select_nth_unstable_by(k - 1, |a, b| b.cmp(a));
    }
    let chosen = &mut keys[..k];
    chosen.sort_unstable_by(|a, b| b.cmp(a));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_the_order_of_numbers_then_of_ids() {
        let rising = [f32::NEG_INFINITY, -2.0, -1e-40, 0.0, 1e-40, 1.0, f32::INFINITY, f32::NAN];
        for (i, pair) in rising.windows(2).enumerate() {
            assert!(key(pair[0], i) < key(pair[1], 1_000_000), "{pair:?}");
            assert!(key(pair[1], i) > key(pair[1], i + 1), "{pair:?}");
        }
        assert!(key(-f32::NAN, 0) < key(f32::NEG_INFINITY, 9));
        assert_eq!(key(-0.0, 3), key(0.0, 3));
        assert_eq!(id(key(-7.5, (1 << 24) - 1)), (1 << 24) - 1);
    }

    #[test]
    fn rows_of_nan_still_choose() {
        let mut keys = [key(f32::NAN, 0), key(-f32::NAN, 1), key(1.0, 2)];
        assert_eq!(greatest(&mut keys, 2).iter().map(|&k| id(k)).collect::<Vec<_>>(), [0, 2]);
    }
}
