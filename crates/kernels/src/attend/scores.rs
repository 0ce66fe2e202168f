//! Scores of a split, and the weights that they become.

use tessera_tile::{flow::Compare, prelude::*};

use super::{MASKED, split::Split};
use crate::tables::{NO_PAGE, PAGE};

impl Split<'_> {
    /// Scores of all the split's positions.
    #[device]
    pub fn score(&self) {
        let k = self.k;
        let (lanes, width, dim) = (k.lanes(), k.cache.width(), k.cache.head_dim);
        let (query, pages, cap) = (self.query, self.pages, self.a.softcap);
        let at_once = threads() / lanes;
        let lane = thread() % lanes;
        for pass in val(0u32)..k.split / at_once {
            let slot = pass * at_once + thread() / lanes;
            let page = self.here.at(slot / PAGE);
            let here = self.seen.sees(self.number * k.split + slot) & page.ne(NO_PAGE);
            let mut sums = vec![0.0; k.share as usize];
            if here {
                let key = k.cache.key(page, self.kv_head, self.a.kv_heads, slot % PAGE);
                let vectors: Vec<_> = (0..k.cache.vectors() / lanes).collect();
                for some in vectors.chunks(4) {
                    let at = |&i: &u32| (lane + i * lanes) * width;
                    let load = |i| k.cache.load(pages, key + at(i));
                    let keys: Vec<_> = some.iter().map(load).collect();
                    for (i, key) in some.iter().zip(&keys) {
                        for h in 0..k.share {
                            let sum = sums[h as usize];
                            sums[h as usize] = dot(query, at(i) + h * dim, key, sum);
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
                    self.scores.set(slot + h * k.split, select(here, score, MASKED));
                }
            }
        }
    }

    /// Scores become weights; the largest score and the weights' sum go to `totals`.
    #[device]
    pub fn weigh(&self, totals: Out<F32>) {
        let k = self.k;
        for h in (simdgroup()..k.share).step_by(simdgroups()) {
            let at = |i: u32| h * k.split + lane() + i * LANES;
            let scores: Vec<_> = (0..k.split / LANES).map(|i| self.scores.at(at(i))).collect();
            let top = simd_max(scores.iter().copied().reduce(|a, b| max(a, b)).expect("scores"));
            let weight = |&score: &Val<f32>| select(score.ne(MASKED), exp(score - top), 0.0);
            let weights: Vec<_> = scores.iter().map(weight).collect();
            for (i, &weight) in (0..).zip(&weights) {
                self.scores.set(at(i), weight);
            }
            let sum = simd_sum(weights.into_iter().reduce(|a, b| a + b).expect("weights"));
            let head = self.first + h;
            if (lane() == 0) & (head < self.end) {
                totals.store(self.place(head) * 2, [top, sum]);
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
