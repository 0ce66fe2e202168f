//! A split, and what a threadgroup has at hand for it.

use tessera_tile::prelude::*;

use super::{Attend, AttendArgsVals};
use crate::{
    sight::Seen,
    tables::{NO_PAGE, PAGE},
};

/// A split of a row's context, for some query heads of one key head.
pub(super) struct Split<'a> {
    pub k: &'a Attend,
    pub a: &'a AttendArgsVals,
    pub pages: In<AnyFloat>,
    pub seen: Seen,
    pub number: Val<u32>,
    pub kv_head: Val<u32>,
    /// First of the query heads.
    pub first: Val<u32>,
    /// End of those of the key head.
    pub end: Val<u32>,
    /// In shared memory, `[share, head_dim]`, scaled.
    pub query: Shared<F32>,
    /// `[share, split]`, then weights, then sums to be added.
    pub scores: Shared<F32>,
    /// Page of each of the split's, [`NO_PAGE`] where nothing is seen.
    pub here: Shared<U32>,
}

impl<'a> Split<'a> {
    pub fn new(
        k: &'a Attend,
        a: &'a AttendArgsVals,
        pages: In<AnyFloat>,
        seen: Seen,
        number: Val<u32>,
    ) -> Self {
        let shares = k.group.div_ceil(k.share);
        let kv_head = group(0) / shares;
        Self {
            k,
            a,
            pages,
            seen,
            number,
            kv_head,
            first: kv_head * k.group + (group(0) % shares) * k.share,
            end: (kv_head + 1) * k.group,
            query: shared("query", k.share * k.cache.head_dim),
            scores: shared("scores", k.scores()),
            here: shared("here", k.split / PAGE),
        }
    }

    /// Where what the split makes of a query head is, in units of results.
    pub fn place(&self, head: Val<u32>) -> Val<u32> {
        let heads = self.a.kv_heads * self.k.group;
        (group(1) * heads + head) * self.a.splits + group(2)
    }

    /// Puts the queries of row `row` into shared memory.
    #[device]
    pub fn put_queries(&self, row: Val<u32>, queries: In<F32>) {
        let (k, dim) = (self.k, self.k.cache.head_dim);
        for i in (thread()..k.share * dim).step_by(threads()) {
            let head = min(self.first + i / dim, self.end - 1);
            let from = (row * self.a.kv_heads * k.group + head) * dim;
            self.query.set(i, queries.at(from + i % dim) * self.a.scale);
        }
    }

    /// Puts the split's pages there; `start` is where those of the run begin in `table`.
    #[device]
    pub fn put_pages(&self, table: In<U32>, start: impl FnOnce() -> Val<u32>) {
        let pages = self.k.split / PAGE;
        if thread() < pages {
            let page = self.number * pages + thread();
            let mut here = NO_PAGE;
            if (page >= self.seen.first / PAGE) & (page <= self.seen.last / PAGE) {
                here = table.at(start() + page);
            }
            self.here.set(thread(), here);
        }
    }
}
