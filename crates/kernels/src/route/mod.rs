//! Choosing experts.
//!
//! Version 1: a simdgroup a row. Lane `l` keeps the experts `l`, `l + 32`, ... in registers; each of the `k` choices is
//! a maximum over the simdgroup and the lowest id that has it.

mod groups;
mod scores;

use tessera_graph::{RouteGroups, Scoring};
use tessera_tile::prelude::*;

use crate::check::ensure;
use groups::drop_groups;
use scores::{choices, one_by_one, scores};

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
        let known = (1..=MAX_EXPERTS).contains(&experts);
        ensure!(known, "{experts} experts, not 1 to {MAX_EXPERTS}");
        let groups = self.groups.unwrap_or(RouteGroups { count: 1, kept: 1 });
        let (count, kept) = (groups.count as u32, groups.kept as u32);
        let some = (1..=count).contains(&kept) && experts.is_multiple_of(count);
        ensure!(some, "{kept} of {count} groups of {experts} experts");
        let alone = !self.bias && self.groups.is_none() && !self.normalise;
        let may_be = self.scores != Scores::OneByOne || alone;
        ensure!(may_be, "one by one with a bias, groups or normalised weights");
        let most = MAX_CHOSEN.min(experts / count * kept);
        ensure!((1..=most).contains(&k), "{k} experts a row, not 1 to {most}");
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
