//! Gated delta rules, token by token, and from chunk to chunk.
//!
//! Version 1: a threadgroup makes 32 columns of one head of a run. Lane `l` has column `l`, each simdgroup some rows of the
//! state in registers. What a token reads with its query is made of the state before its correction, so that both sums
//! over rows go through shared memory together, with one barrier.

mod chunk;
mod token;

use tessera_tile::prelude::*;

use crate::{
    check::{self, ensure},
    recurrence::{self, Part, column_parts, group_of, walk},
    tune::{Tunable, variants},
};
use chunk::{Chunks, chunk};
use token::token;

/// The graph's operation `Delta`.
///
/// `runs` and `saves` are [tables](crate::tables); `q` and `k` are `[rows, key_heads * key_dim]`, `v` and `y` `[rows, heads *
/// value_dim]`, `a` and `b` `[rows, heads]`, `decay` and `dt_bias` `[heads]`, `states` `[slots, heads, key_dim, value_dim]`. With
/// `chunked`, `factors`, `readers` and `corrections` are those of the step's [chunks](crate::chunks); `corrections` become what
/// the chunks' tokens write, `before` `[chunks, heads, key_dim, value_dim]` the states before chunks, and rows of `y` in
/// chunks are left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Delta {
    /// Elements of a key.
    pub key_dim: u32,
    /// Whether `decay` is the logarithm of the rate, `A = -exp(w)`, and not `A` itself.
    pub log_decay: bool,
    /// Whether head `h` has the key head `h % key_heads`, and not `h / (heads / key_heads)`.
    pub interleaved: bool,
    /// Whether whole chunks are computed with the kernels of [`chunks`](crate::chunks).
    pub chunked: bool,
    /// Simdgroups of a threadgroup, which divide `key_dim`, at most [`MAX_SIMDGROUPS`].
    pub simdgroups: u32,
}

/// Simdgroups at most: more would not have the shared memory.
pub const MAX_SIMDGROUPS: u32 = 8;

/// Scalars of [`Delta`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct DeltaArgs {
    /// Heads.
    pub heads: u32,
    /// Heads of `q` and `k`.
    pub key_heads: u32,
    /// Elements of a value.
    pub value_dim: u32,
    /// Runs.
    pub runs: u32,
    /// Added to the sums of squares.
    pub eps: f32,
}

impl Spec for Delta {
    type Args = DeltaArgs;

    fn threads(&self) -> u32 {
        self.simdgroups * LANES
    }

    fn grid(&self, a: &DeltaArgs) -> [u32; 3] {
        [a.value_dim.div_ceil(LANES), a.heads, a.runs]
    }

    fn check(&self, a: &DeltaArgs) -> Result<(), String> {
        let &Self { key_dim, simdgroups, .. } = self;
        let divided = simdgroups <= MAX_SIMDGROUPS && key_dim.is_multiple_of(simdgroups);
        ensure!(divided, "keys of {key_dim} for {simdgroups} simdgroups");
        check::states(a.heads, a.key_heads, key_dim, a.value_dim)
    }
}

impl Tunable for Delta {
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        variants(
            own,
            recurrence::dividing(own.key_dim).map(|simdgroups| Self { simdgroups, ..own }),
        )
    }

    /// Sums over rows of the state are divided among simdgroups.
    fn same_bits(&self) -> bool {
        false
    }
}

#[kernel]
fn delta(
    k: &Delta,
    runs: In<U32>,
    saves: In<U32>,
    q: In<F32>,
    keys: In<F32>,
    v: In<F32>,
    a: In<F32>,
    b: In<F32>,
    decay: In<F32>,
    dt_bias: In<F32>,
    #[when(k.chunked)] factors: Option<In<F32>>,
    #[when(k.chunked)] readers: Option<In<F32>>,
    #[when(k.chunked)] corrections: Option<InOut<F32>>,
    #[when(k.chunked)] before: Option<Out<F32>>,
    states: InOut<F32>,
    y: Out<F32>,
    args: Args<DeltaArgs>,
) {
    let part = recurrence::part(k.key_dim, args.heads, args.value_dim);
    let head = part.head;
    let work = Work {
        key_head: group_of(k.interleaved, head, args.heads, args.key_heads),
        rate: recurrence::rate(k.log_decay, decay, head),
        bias: dt_bias.at(head),
        parts: column_parts(2),
        key_dim: k.key_dim,
        part,
        q,
        keys,
        v,
        a,
        b,
        y,
        args,
    };
    let chunks = Chunks::new(factors, readers, corrections, before);
    let chunk = chunks.as_ref().map(|chunks| |row| chunk(&work, chunks, row));
    walk(&work.part, runs, saves, states, |row| token(&work, row), chunk);
}

/// What a threadgroup works with.
struct Work {
    part: Part,
    q: In<F32>,
    keys: In<F32>,
    v: In<F32>,
    a: In<F32>,
    b: In<F32>,
    y: Out<F32>,
    args: Args<DeltaArgs>,
    key_dim: u32,
    key_head: Val<u32>,
    rate: Val<f32>,
    bias: Val<f32>,
    parts: Shared<F32>,
}
