//! Choosing experts.
//!
//! Version 1: a simdgroup a row. Lane `l` keeps the experts `l`, `l + 32`, ... in registers; each of the `k` choices is
//! a maximum over the simdgroup and the lowest id that has it.

use tessera_graph::{RouteGroups, Scoring};
use tessera_tile::prelude::*;

use crate::unit::sigmoid;

/// Which experts rows go to: `[rows, experts] -> [rows, 2 k]`, ids (whole numbers), then the weights of each.
///
/// What the graph's operation `Route` says. Logits that are not numbers give ids that are experts all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Route {
    /// Experts there are, at most [`MAX_EXPERTS`].
    pub experts: u32,
    /// Experts of a row, at most [`MAX_CHOSEN`].
    pub k: u32,
    /// What becomes of the logits.
    pub scores: Scores,
    /// Whether a bias is added for the choice.
    pub bias: bool,
    /// Groups that are chosen first.
    #[name(|groups| groups.map(groups_name))]
    pub groups: Option<RouteGroups>,
    /// Whether the weights are divided by their sum.
    pub normalise: bool,
    /// Simdgroups, and so rows, of a threadgroup.
    pub simdgroups: u32,
}

/// What becomes of the logits: the graph's `Scoring`, its numbers apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub enum Scores {
    /// `exp(x) / sum of exp`.
    Softmax,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// A softmax over those left, without the far ones, for one expert after the other.
    OneByOne,
}

impl Scores {
    /// A graph's scoring, and how far behind the largest a logit may be.
    pub fn of(scoring: Scoring) -> (Self, f32) {
        match scoring {
            Scoring::Softmax => (Self::Softmax, 0.0),
            Scoring::Sigmoid => (Self::Sigmoid, 0.0),
            Scoring::OneByOne { reach } => (Self::OneByOne, reach),
        }
    }
}

/// Groups in a kernel's name: `4of8`.
fn groups_name(groups: RouteGroups) -> String {
    let RouteGroups { count, kept } = groups;
    format!("{kept}of{count}")
}

/// Experts at most.
pub const MAX_EXPERTS: u32 = 512;

/// Experts of a row at most.
pub const MAX_CHOSEN: u32 = 32;

/// Scalars of [`Route`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct RouteArgs {
    /// Rows.
    pub rows: u32,
    /// Factor on the weights.
    pub scale: f32,
    /// Of [`Scores::OneByOne`]: how far behind the largest a logit may be.
    pub reach: f32,
}

/// Less than any score.
const LOW: f32 = -3e38;

impl Spec for Route {
    type Args = RouteArgs;

    fn threads(&self) -> u32 {
        self.simdgroups * LANES
    }

    fn grid(&self, a: &RouteArgs) -> [u32; 3] {
        [a.rows.div_ceil(self.simdgroups), 1, 1]
    }

    fn check(&self, _: &RouteArgs) -> Result<(), String> {
        let &Self { experts, k, .. } = self;
        if experts == 0 || experts > MAX_EXPERTS {
            return Err(format!("{experts} experts, not 1 to {MAX_EXPERTS}"));
        }
        let groups = self.groups.unwrap_or(RouteGroups { count: 1, kept: 1 });
        let (count, kept) = (groups.count as u32, groups.kept as u32);
        if count == 0 || kept == 0 || kept > count || !experts.is_multiple_of(count) {
            return Err(format!("{kept} of {count} groups of {experts} experts"));
        }
        let alone = !self.bias && self.groups.is_none() && !self.normalise;
        if self.scores == Scores::OneByOne && !alone {
            return Err("one by one with a bias, groups or normalised weights".into());
        }
        let considered = experts / count * kept;
        if k == 0 || k > MAX_CHOSEN.min(considered) {
            return Err(format!("{k} experts a row, not 1 to {}", MAX_CHOSEN.min(considered)));
        }
        Ok(())
    }
}

#[kernel]
fn route(
    k: &Route,
    logits: In<F32>,
    #[when(k.bias)] bias: Option<In<F32>>,
    routes: Out<F32>,
    a: Args<RouteArgs>,
) {
    let row = group(0) * simdgroups() + simdgroup();
    if row < a.rows {
        let held = k.experts.div_ceil(LANES);
        let ids: Vec<_> = (0..held).map(|r| lane() + r * LANES).collect();
        let read = |&id: &Val<u32>| logits.at(row * k.experts + min(id, k.experts - 1));
        let given: Vec<_> = ids.iter().map(read).collect();
        let scores = scores(k, &ids, &given);
        // without a bias scores are in the order of the logits, which rounding has not made equal
        let mut keys = choices(k, &ids, bias, if bias.is_some() { &scores } else { &given });
        if let Some(groups) = k.groups {
            drop_groups(k, groups, &ids, &choices(k, &ids, bias, &scores), &keys);
        }
        let mut chosen = 0u32;
        let mut share = 0.0;
        for i in 0..val(k.k) {
            let mut best = LOW;
            for r in 0..held as usize {
                best = max(best, keys[r]);
            }
            let best = simd_max(best);
            let mut first = k.experts - 1;
            for r in 0..held as usize {
                first = min(first, select(keys[r] == best, ids[r], k.experts - 1));
            }
            let id = simd_min(first);
            let alone = one_by_one(k, &keys, best, a.reach);
            let mut score = 0.0;
            for r in 0..held as usize {
                score = select(ids[r] == id, scores[r], score);
                keys[r] = select(ids[r] == id, LOW, keys[r]);
            }
            let score = alone.unwrap_or_else(|| shuffle(score, id % LANES));
            chosen = select(lane() == i, id, chosen);
            share = select(lane() == i, score, share);
        }
        if k.normalise {
            share = share / max(simd_sum(share), 1e-20);
        }
        if lane() < k.k {
            let at = row * (2 * k.k) + lane();
            routes.set(at, chosen.f32());
            routes.set(at + k.k, share * a.scale);
        }
    }
}

/// The weight of the largest, `best`, of the logits left, where they are chosen one by one.
#[device]
fn one_by_one(k: &Route, keys: &[Var<f32>], best: Val<f32>, reach: Val<f32>) -> Option<Val<f32>> {
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

/// What becomes of the logits; anything for experts that are not there.
#[device]
fn scores(k: &Route, ids: &[Val<u32>], logits: &[Val<f32>]) -> Vec<Val<f32>> {
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
fn choices(
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

/// Sets the keys of experts in groups that are not considered to [`LOW`].
#[device]
fn drop_groups(
    k: &Route,
    groups: RouteGroups,
    ids: &[Val<u32>],
    choices: &[Val<f32>],
    keys: &[Var<f32>],
) {
    let (count, kept) = (groups.count as u32, groups.kept as u32);
    let size = k.experts / count;
    let all = shared::<F32>("choices", simdgroups() * k.experts);
    let sums = shared::<F32>("sums", simdgroups() * count);
    let first = simdgroup() * k.experts;
    for r in 0..ids.len() {
        if ids[r] < k.experts {
            all.set(first + ids[r], choices[r]);
        }
    }
    simd_barrier();
    for group in (lane()..count).step_by(LANES) {
        let mut best = LOW;
        let mut second = LOW;
        for i in 0..val(size) {
            let x = all.at(first + group * size + i);
            second = max(second, min(best, x));
            best = max(best, x);
        }
        sums.set(simdgroup() * count + group, if size == 1 { best.get() } else { best + second });
    }
    simd_barrier();
    for r in 0..ids.len() {
        let group = min(ids[r] / size, count - 1);
        let sum = sums.at(simdgroup() * count + group);
        let mut before = 0u32;
        for other in 0..val(count) {
            let theirs = sums.at(simdgroup() * count + other);
            let better = (theirs > sum) | ((theirs == sum) & (other < group));
            before += better.u32();
        }
        keys[r] = select(before < kept, keys[r], LOW);
    }
}
