//! Sorting pairs by expert.
//!
//! Version 1: one threadgroup an expert. Each counts the pairs of all experts, so that none waits for another, and
//! finds its own in their order: its simdgroups take neighbouring stretches of the pairs.

use tessera_tile::prelude::*;

use super::expert;
use crate::{check::ensure, route::MAX_EXPERTS};

/// `routes: [rows, 2 k] -> order: [pairs], tiles: [tiles, 4]`.
///
/// `order` has the pairs of the first expert, then those of the second, and so on, each in increasing order. `tiles` has the
/// stretches of at most `tile` pairs of one expert: `[expert, first in order, pairs, 0]`, then some of no pairs up to
/// [`tiles`](Self::tiles).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct ExpertSort {
    /// Experts there are, at most [`MAX_EXPERTS`].
    pub experts: u32,
    /// Routes of a row.
    pub k: u32,
    /// Pairs of a tile at most.
    pub tile: u32,
    /// Threads of a threadgroup.
    pub threads: u32,
}

/// Scalars of [`ExpertSort`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct ExpertSortArgs {
    /// Pairs: rows times `k`.
    pub pairs: u32,
    /// [`ExpertSort::tiles`] of them.
    pub tiles: u32,
}

impl ExpertSort {
    /// Tiles at most: each expert has one that may not be full.
    pub fn tiles(&self, pairs: u32) -> u32 {
        pairs / self.tile + self.experts.min(pairs)
    }
}

impl Spec for ExpertSort {
    type Args = ExpertSortArgs;

    fn threads(&self) -> u32 {
        self.threads
    }

    fn grid(&self, _: &ExpertSortArgs) -> [u32; 3] {
        [self.experts, 1, 1]
    }

    fn check(&self, a: &ExpertSortArgs) -> Result<(), String> {
        let &Self { experts, k, tile, .. } = self;
        let some = k > 0 && tile > 0 && (1..=MAX_EXPERTS).contains(&experts);
        ensure!(some, "tiles of {tile} of {k} of {experts} experts");
        let whole = a.pairs > 0 && a.pairs.is_multiple_of(k) && a.tiles == self.tiles(a.pairs);
        ensure!(whole, "{} pairs of {k} a row in {} tiles", a.pairs, a.tiles);
        Ok(())
    }
}

#[kernel]
fn expert_sort(
    k: &ExpertSort,
    routes: In<F32>,
    order: Out<U32>,
    tiles: Out<U32>,
    a: Args<ExpertSortArgs>,
) {
    let mine = group(0);
    let counts = shared::<U32>("counts", k.experts);
    for e in (thread()..k.experts).step_by(threads()) {
        counts.set(e, 0);
    }
    barrier();
    for pair in (thread()..a.pairs).step_by(threads()) {
        atomic_add(counts, expert(routes, pair, k.k, val(k.experts)), 1);
    }
    barrier();
    let mut pairs_before = 0u32;
    let mut tiles_before = 0u32;
    for e in (lane()..mine).step_by(LANES) {
        let count = counts.at(e);
        pairs_before += count;
        tiles_before += div_ceil(count, k.tile);
    }
    let first = simd_sum(pairs_before);
    let first_tile = simd_sum(tiles_before);
    let count = counts.at(mine);
    let my_tiles = div_ceil(count, k.tile);
    for i in (thread()..my_tiles).step_by(threads()) {
        let from = i * k.tile;
        let tile = [mine, first + from, min(count - from, k.tile), val(0)];
        tiles.store((first_tile + i) * 4, tile);
    }
    if mine == k.experts - 1 {
        for i in (first_tile + my_tiles + thread()..a.tiles).step_by(threads()) {
            tiles.store(i * 4, [0u32; 4]);
        }
    }
    if count > 0 {
        scatter(k, routes, order, first, a.pairs);
    }
}

/// Writes the pairs of this threadgroup's expert.
#[device]
fn scatter(k: &ExpertSort, routes: In<F32>, order: Out<U32>, first: Val<u32>, pairs: Val<u32>) {
    let found = shared::<U32>("found", simdgroups());
    let len = div_ceil(pairs, threads()) * LANES;
    let from = min(simdgroup() * len, pairs);
    let to = min(from + len, pairs);
    let mut here = 0u32;
    for at in (from..to).step_by(LANES) {
        here += popcount(ballot(is_mine(k, routes, at + lane(), to)));
    }
    if lane() == 0 {
        found.set(simdgroup(), here);
    }
    barrier();
    let mut next = first;
    for i in 0..simdgroups() {
        next += select(simdgroup() > i, found.at(i), 0);
    }
    for at in (from..to).step_by(LANES) {
        let is_mine = is_mine(k, routes, at + lane(), to);
        let all = ballot(is_mine);
        if is_mine {
            let below = all & ((val(1u32) << lane()) - 1);
            order.set(next + popcount(below), at + lane());
        }
        next += popcount(all);
    }
}

/// Whether a pair below `end` is this threadgroup's expert's.
#[device]
fn is_mine(k: &ExpertSort, routes: In<F32>, pair: Val<u32>, end: Val<u32>) -> Val<bool> {
    let inside = pair < end;
    let theirs = expert(routes, select(inside, pair, end - 1), k.k, val(k.experts));
    inside & (theirs == group(0))
}
