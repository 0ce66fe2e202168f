//! Attention of single rows, as in decoding: its splits joined.
//!
//! Version 1: a threadgroup a head; four elements a thread, as many splits at once as there are threads for.

use tessera_tile::prelude::*;

use crate::{
    attend::MASKED,
    cache::check_head,
    check::ensure,
    sight::{Masks, Sight},
};

/// `y`, `[step rows, heads * head_dim]`, of the `rows` that are listed, of the `totals` and `parts` that [`Attend`](crate::attend::Attend) made, in an order that
/// depends on nothing but the row. With `sinks`, `[heads]`, that score takes its share too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct AttendJoin {
    /// Elements of a head, a multiple of 8 up to [`MAX_HEAD_DIM`](crate::cache::MAX_HEAD_DIM).
    pub head_dim: u32,
    /// Positions of a split.
    pub split: u32,
    /// Threads of a threadgroup, a multiple of 32.
    pub threads: u32,
    /// What a row sees.
    pub sight: Sight,
    /// Whether there are sinks.
    pub sinks: bool,
}

/// Scalars of [`AttendJoin`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct AttendJoinArgs {
    /// Rows that are listed.
    pub rows: u32,
    /// Query heads.
    pub heads: u32,
    /// Splits of a row at most.
    pub splits: u32,
    /// Positions a row sees at most.
    pub window: u32,
    /// Words of a row's mask.
    pub mask_words: u32,
}

impl Spec for AttendJoin {
    type Args = AttendJoinArgs;

    fn threads(&self) -> u32 {
        self.threads
    }

    fn grid(&self, a: &AttendJoinArgs) -> [u32; 3] {
        [a.heads, a.rows, 1]
    }

    fn check(&self, a: &AttendJoinArgs) -> Result<(), String> {
        let &Self { head_dim, threads, .. } = self;
        check_head(head_dim)?;
        ensure!(head_dim <= threads * 4, "heads of {head_dim} elements for {threads} threads");
        ensure!(self.split > 0, "splits of no positions");
        ensure!(a.rows.min(a.heads).min(a.splits) > 0, "no rows, heads or splits");
        self.sight.check(a.window, a.mask_words)
    }
}

#[kernel]
fn attend_join(
    k: &AttendJoin,
    rows: In<U32>,
    totals: In<F32>,
    parts: In<F32>,
    positions: In<U32>,
    #[when(k.sight.tree)] run_of: Option<In<U32>>,
    #[when(k.sight.tree)] runs: Option<In<U32>>,
    #[when(k.sight.tree)] masks: Option<In<U32>>,
    #[when(k.sinks)] sinks: Option<In<F32>>,
    y: Out<F32>,
    a: Args<AttendJoinArgs>,
) {
    let (head, row) = (group(0), rows.at(group(1)));
    let run = || run_of.expect("trees have runs").at(row);
    let masks = Masks::of(masks, a.mask_words, runs, run);
    let seen = k.sight.of(masks, row, positions.at(row), a.window);
    let count = min(seen.last / k.split - seen.first / k.split + 1, a.splits);
    let out = group(1) * a.heads + head;
    let first = out * a.splits;
    let sink = sinks.map(|sinks| sinks.at(head));
    let mut top = sink.unwrap_or_else(|| val(MASKED));
    for i in (lane()..count).step_by(LANES) {
        top = max(top, totals.at((first + i) * 2));
    }
    let top = simd_max(top);
    let mut sum = 0.0;
    for i in (lane()..count).step_by(LANES) {
        let [score, total] = totals.load((first + i) * 2);
        sum = fma(total, exp(score - top), sum);
    }
    let sum = simd_sum(sum);
    let sum = sink.map_or(sum, |sink| sum + exp(sink - top));
    let (lanes, slots) = (k.head_dim / 4, k.threads * 4 / k.head_dim);
    let (slot, part) = (thread() / lanes, thread() % lanes);
    let values = shared::<F32>("values", slots * k.head_dim);
    let mut four = [0.0; 4];
    if slot < slots {
        for i in (slot..count).step_by(slots) {
            let weight = exp(totals.at((first + i) * 2) - top);
            let part = parts.load::<4>((first + i) * k.head_dim + part * 4);
            for j in 0..4usize {
                four[j] = fma(weight, part[j], four[j]);
            }
        }
        values.store(slot * k.head_dim + part * 4, four);
    }
    barrier();
    for j in (thread()..k.head_dim).step_by(threads()) {
        let mut value = values.at(j);
        for s in 1..slots {
            value += values.at(j + s * k.head_dim);
        }
        y.set((row * a.heads + head) * k.head_dim + j, value / sum);
    }
}
