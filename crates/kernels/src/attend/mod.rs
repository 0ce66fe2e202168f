//! Attention of single rows, as in decoding: what each split of a row's context makes.
//!
//! Version 1: a threadgroup takes the query heads of one key head and one split. Scores: four lanes a key. Values: as
//! many lanes as a value has vectors of 16 bytes, four positions at a time, added up in order in the end.

mod scores;
mod split;
mod values;

use tessera_tile::prelude::*;

use crate::{
    cache::Cache,
    check::ensure,
    sight::{Masks, Sight},
    tables::PAGE,
    tune::{Tunable, pairs, variants},
};
use split::Split;

/// A score of what is not seen.
pub const MASKED: f32 = f32::MIN;

/// Positions of a split, unless tuned otherwise.
pub const SPLIT: u32 = 256;

/// Of each row and query head, for each split of the positions it sees: the largest score, the sum of the scores'
/// exponentials less that, and the sum of values so weighted. [`AttendJoin`](crate::attend_join::AttendJoin) makes the result.
///
/// `rows` lists the step's rows that it is for; `queries` are `[step rows, heads * head_dim]`; `positions`, `run_of`, `starts`, `table` and `pages` as [`Append`](crate::append::Append)
/// takes them, the rows' own keys there already; pages that no row may see are not touched. A split is of positions
/// `split * i ..`, so what it makes depends on nothing but the row; splits that a row does not see at all are skipped, and the
/// first it sees is number 0 in `totals`, `[rows, heads, splits, 2]`, and `parts`, `[rows, heads, splits, head_dim]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Attend {
    /// How keys and values are kept.
    pub cache: Cache,
    /// Query heads of a key head.
    pub group: u32,
    /// Query heads of a threadgroup, up to `group`.
    pub share: u32,
    /// Positions of a split, a multiple of [`PAGE`].
    pub split: u32,
    /// Threads of a threadgroup, a multiple of 32.
    pub threads: u32,
    /// What a row sees.
    pub sight: Sight,
    /// Whether scores are capped: `cap * tanh(score / cap)`.
    pub softcap: bool,
}

/// Scalars of [`Attend`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct AttendArgs {
    /// Rows that are listed.
    pub rows: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Splits of a row at most, [`splits`] of the longest context.
    pub splits: u32,
    /// Multiplies the scores.
    pub scale: f32,
    /// Positions a row sees at most.
    pub window: u32,
    /// Cap of scores.
    pub softcap: f32,
    /// Words of a row's mask.
    pub mask_words: u32,
}

/// Splits of `split` positions that a row sees at most, of a context of `context` positions. For trees the number of a
/// run's rows is added to `window`, as its rows lie farther apart than they see.
pub fn splits(split: u32, context: u32, window: Option<u32>) -> u32 {
    let all = context.div_ceil(split);
    window.map_or(all, |window| all.min((window.max(1) - 1).div_ceil(split) + 1))
}

impl Attend {
    /// Lanes that share a key.
    fn lanes(&self) -> u32 {
        1 << self.cache.vectors().trailing_zeros().min(2)
    }

    /// Positions whose values are added at once, four for each.
    fn slots(&self) -> u32 {
        self.threads / self.cache.vectors()
    }

    /// Elements of shared memory for scores, and then for the sums of one head at least.
    fn scores(&self) -> u32 {
        (self.share * self.split).max(self.slots() * self.cache.head_dim)
    }

    fn geometry(&self) -> Result<(), String> {
        let Self { group, share, split, threads, .. } = *self;
        let (at_once, vectors) = (threads / self.lanes(), self.cache.vectors());
        ensure!((1..=group).contains(&share), "{share} of {group} heads at once");
        let whole = split > 0 && split.is_multiple_of(PAGE) && split.is_multiple_of(at_once);
        ensure!(whole, "splits of {split} positions, not a multiple of {PAGE} and {at_once}");
        let enough = self.slots() > 0 && split / PAGE <= threads;
        ensure!(enough, "{threads} threads for {vectors} vectors");
        Ok(())
    }
}

impl Spec for Attend {
    type Args = AttendArgs;

    fn threads(&self) -> u32 {
        self.threads
    }

    fn grid(&self, a: &AttendArgs) -> [u32; 3] {
        [a.kv_heads * self.group.div_ceil(self.share), a.rows, a.splits]
    }

    fn check(&self, a: &AttendArgs) -> Result<(), String> {
        self.cache.check()?;
        self.geometry()?;
        ensure!(a.rows.min(a.kv_heads).min(a.splits) > 0, "no rows, heads or splits");
        self.sight.check(a.window, a.mask_words)
    }
}

impl Tunable for Attend {
    /// Splits stay: other kernels, and memory, are made for them.
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        let sizes = pairs(&[1, 2, 4, 8], &[64, 128, 256]);
        let of = |(share, threads)| Self { share: own.group.min(share), threads, ..own };
        variants(own, sizes.map(of).filter(|k| k.geometry().is_ok()))
    }

    /// Sums of values are divided among the threadgroup.
    fn same_bits(&self) -> bool {
        false
    }
}

#[kernel]
fn attend(
    k: &Attend,
    rows: In<U32>,
    queries: In<F32>,
    positions: In<U32>,
    run_of: In<U32>,
    starts: In<U32>,
    table: In<U32>,
    #[of(k.cache.elem)] pages: In<AnyFloat>,
    #[when(k.sight.tree)] runs: Option<In<U32>>,
    #[when(k.sight.tree)] masks: Option<In<U32>>,
    totals: Out<F32>,
    parts: Out<F32>,
    a: Args<AttendArgs>,
) {
    let row = rows.at(group(1));
    let run = run_of.at(row);
    let masks = Masks::of(masks, a.mask_words, runs, || run);
    let seen = k.sight.of(masks, row, positions.at(row), a.window);
    let number = seen.first / k.split + group(2);
    if number * k.split <= seen.last {
        let split = Split::new(k, &a, pages, seen, number);
        split.put_queries(row, queries);
        split.put_pages(table, || starts.at(run));
        barrier();
        split.score();
        barrier();
        split.weigh(totals);
        barrier();
        split.add_up(&split.gather(), parts);
    }
}
