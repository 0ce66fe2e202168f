//! What a threadgroup does with its split.

use tessera_tile::{flow::Compare, prelude::*};

use super::{Attend, MASKED};
use crate::{
    sight::Seen,
    tables::{NO_PAGE, PAGE},
};

/// Which heads a threadgroup serves.
pub(super) struct Heads {
    pub kv_head: Val<u32>,
    pub kv_heads: Val<u32>,
    pub first: Val<u32>,
    /// End of the query heads of the key head.
    pub end: Val<u32>,
}

/// Shared memory.
pub(super) struct Shelf {
    /// `[share, head_dim]`, scaled.
    pub query: Shared<F32>,
    /// `[share, split]`, then weights, then sums to be added.
    pub scores: Shared<F32>,
    /// Page of each of the split's, [`NO_PAGE`] where nothing is seen.
    pub here: Shared<U32>,
}

/// Scores of all the split's positions.
#[device]
pub(super) fn score(
    k: &Attend,
    shelf: &Shelf,
    heads: &Heads,
    seen: &Seen,
    split: Val<u32>,
    pages: In<AnyFloat>,
    cap: Val<f32>,
) {
    let (lanes, width) = (k.lanes(), k.cache.width());
    let at_once = threads() / lanes;
    let lane = thread() % lanes;
    for pass in val(0u32)..k.split / at_once {
        let slot = pass * at_once + thread() / lanes;
        let page = shelf.here.at(slot / PAGE);
        let here = seen.sees(split * k.split + slot) & page.ne(NO_PAGE);
        let mut sums = vec![0.0; k.share as usize];
        if here {
            let key = k.cache.key(page, heads.kv_head, heads.kv_heads, slot % PAGE);
            let vectors: Vec<_> = (0..k.cache.vectors() / lanes).collect();
            for some in vectors.chunks(4) {
                let at = |&i: &u32| (lane + i * lanes) * width;
                let keys: Vec<_> = some.iter().map(|i| k.cache.load(pages, key + at(i))).collect();
                for (i, key) in some.iter().zip(&keys) {
                    for h in 0..k.share {
                        sums[h as usize] =
                            dot(shelf.query, at(i) + h * k.cache.head_dim, key, sums[h as usize]);
                    }
                }
            }
        }
        for h in 0..k.share {
            let mut sum = sums[h as usize];
            for step in 0..lanes.trailing_zeros() {
                sum += shuffle_xor(sum, 1 << step);
            }
            if lane == 0 {
                let score = if k.softcap { tanh(sum / cap) * cap } else { sum.get() };
                shelf.scores.set(slot + h * k.split, select(here, score, MASKED));
            }
        }
    }
}

/// `sum` and the product of a vector with as many elements of `query`.
fn dot(query: Shared<F32>, at: Val<u32>, key: &[Val<f32>], sum: Var<f32>) -> Val<f32> {
    let quads = (0..).step_by(4).zip(key.chunks_exact(4));
    quads.fold(sum.get(), |sum, (i, key)| {
        let query = query.load::<4>(at + i);
        query.iter().zip(key).fold(sum, |sum, (&q, &k)| fma(q, k, sum))
    })
}

/// Scores become weights; the largest score and the weights' sum go to `totals`.
#[device]
pub(super) fn weigh(
    k: &Attend,
    shelf: &Shelf,
    heads: &Heads,
    out: Val<u32>,
    splits: Val<u32>,
    totals: Out<F32>,
) {
    for h in (simdgroup()..k.share).step_by(simdgroups()) {
        let at = |i: u32| h * k.split + lane() + i * LANES;
        let scores: Vec<_> = (0..k.split / LANES).map(|i| shelf.scores.at(at(i))).collect();
        let top = simd_max(scores.iter().copied().reduce(|a, b| max(a, b)).expect("scores"));
        let weight = |&score: &Val<f32>| select(score.ne(MASKED), exp(score - top), 0.0);
        let weights: Vec<_> = scores.iter().map(weight).collect();
        for (i, &weight) in (0..).zip(&weights) {
            shelf.scores.set(at(i), weight);
        }
        let sum = simd_sum(weights.into_iter().reduce(|a, b| a + b).expect("weights"));
        let head = heads.first + h;
        if (lane() == 0) & (head < heads.end) {
            totals.store((out + head * splits) * 2, [top, sum]);
        }
    }
}

/// Each thread's sums, `[share, width]`.
#[device]
pub(super) fn gather(
    k: &Attend,
    shelf: &Shelf,
    heads: &Heads,
    seen: &Seen,
    split: Val<u32>,
    pages: In<AnyFloat>,
) -> Vec<Vec<Var<f32>>> {
    let (slot, part) = (thread() / k.cache.vectors(), thread() % k.cache.vectors());
    let mut sums = vec![vec![0.0; k.cache.width() as usize]; k.share as usize];
    if slot < k.slots() {
        for i in (slot * 4..k.split).step_by(k.slots() * 4) {
            let page = shelf.here.at(i / PAGE);
            let position = split * k.split + i;
            if (page != NO_PAGE) & (position <= seen.last) & (position + 3 >= seen.first) {
                // beyond what is seen lies nothing: its neighbour's value, of no weight
                let nearest = |j: u32| min(max(position + j, seen.first), seen.last) % PAGE;
                let value = |slot| {
                    let key = k.cache.key(page, heads.kv_head, heads.kv_heads, slot);
                    key + k.cache.to_value(heads.kv_heads) + part * k.cache.width()
                };
                let values: Vec<_> =
                    (0..4).map(|j| k.cache.load(pages, value(nearest(j)))).collect();
                for h in 0..k.share {
                    let weights = shelf.scores.load::<4>(i + h * k.split);
                    for (weight, value) in weights.into_iter().zip(&values) {
                        for (j, &x) in value.iter().enumerate() {
                            sums[h as usize][j] = fma(weight, x, sums[h as usize][j]);
                        }
                    }
                }
            }
        }
    }
    sums
}

/// Adds the threads' sums, slot by slot, into `parts`.
#[device]
pub(super) fn add_up(
    k: &Attend,
    shelf: &Shelf,
    heads: &Heads,
    sums: &[Vec<Var<f32>>],
    out: Val<u32>,
    splits: Val<u32>,
    parts: Out<F32>,
) {
    let (dim, slots) = (k.cache.head_dim, k.slots());
    let (slot, part) = (thread() / k.cache.vectors(), thread() % k.cache.vectors());
    let at_once = (k.scores() / (slots * dim)).min(k.share);
    for (round, some) in (0..).zip(sums.chunks(at_once as usize)) {
        let len = some.len() as u32 * dim;
        barrier();
        if slot < slots {
            for (h, sums) in (0..).zip(some) {
                let at = slot * len + part * k.cache.width() + h * dim;
                for (j, sums) in (0u32..).step_by(4).zip(sums.as_chunks::<4>().0) {
                    shelf.scores.store(at + j, *sums);
                }
            }
        }
        barrier();
        for i in (thread()..len).step_by(threads()) {
            let mut sum = shelf.scores.at(i);
            for s in 1..slots {
                sum += shelf.scores.at(i + s * len);
            }
            let head = heads.first + i / dim + round * at_once;
            if head < heads.end {
                parts.set((out + head * splits) * dim + i % dim, sum);
            }
        }
    }
}
