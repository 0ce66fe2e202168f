//! Weighted values of a split, added up.

use tessera_tile::prelude::*;

use super::split::Split;
use crate::tables::{NO_PAGE, PAGE};

impl Split<'_> {
    /// Each thread's sums, `[share, width]`.
    #[device]
    pub fn gather(&self) -> Vec<Vec<Var<f32>>> {
        let k = self.k;
        let (slot, part) = (thread() / k.cache.vectors(), thread() % k.cache.vectors());
        let mut sums = vec![vec![0.0; k.cache.width() as usize]; k.share as usize];
        if slot < k.slots() {
            for i in (slot * 4..k.split).step_by(k.slots() * 4) {
                let page = self.here.at(i / PAGE);
                let position = self.number * k.split + i;
                if (page != NO_PAGE)
                    & (position <= self.seen.last)
                    & (position + 3 >= self.seen.first)
                {
                    // beyond what is seen lies nothing: its neighbour's value, of no weight
                    let nearest =
                        |j: u32| min(max(position + j, self.seen.first), self.seen.last) % PAGE;
                    let value = |slot| {
                        let key = k.cache.key(page, self.kv_head, self.a.kv_heads, slot);
                        key + k.cache.to_value(self.a.kv_heads) + part * k.cache.width()
                    };
                    let values: Vec<_> =
                        (0..4).map(|j| k.cache.load(self.pages, value(nearest(j)))).collect();
                    for h in 0..k.share {
                        let weights = self.scores.load::<4>(i + h * k.split);
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
    pub fn add_up(&self, sums: &[Vec<Var<f32>>], parts: Out<F32>) {
        let k = self.k;
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
                        self.scores.store(at + j, *sums);
                    }
                }
            }
            barrier();
            for i in (thread()..len).step_by(threads()) {
                let mut sum = self.scores.at(i);
                for s in 1..slots {
                    sum += self.scores.at(i + s * len);
                }
                let head = self.first + i / dim + round * at_once;
                if head < self.end {
                    parts.set(self.place(head) * dim + i % dim, sum);
                }
            }
        }
    }
}
