//! Selective state spaces, token by token, and from chunk to chunk.
//!
//! Version 1: a threadgroup makes 32 columns of one head of a run. Lane `l` has column `l`, each simdgroup some rows of the
//! state in registers; sums over rows go through shared memory, one barrier a token.

mod step;

use tessera_tile::prelude::*;

use crate::{
    check::{self, ensure},
    recurrence::{self, column_parts, walk},
    tune::{Tunable, variants},
};
use step::{Work, chunk, token};

/// The graph's operation `Scan`.
///
/// `runs` and `saves` are [tables](crate::tables); `x` and `y` are `[rows, heads * head_dim]`, `dt` `[rows, heads]`, `b` and `c`
/// `[rows, groups * state]`, `decay`, `dt_bias` and `skip` `[heads]`, `states` `[slots, heads, state, head_dim]`. With
/// `chunked`, `factors` and `carried` are those of the step's [chunks](crate::chunks); rows of `y` in chunks are left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Scan {
    /// Rows of a head's state.
    pub state: u32,
    /// Whether `decay` is the logarithm of the rate, `A = -exp(w)`, and not `A` itself.
    pub log_decay: bool,
    /// Whether `x` is added, times `skip`.
    pub skip: bool,
    /// Whether whole chunks are computed by the kernels of [`chunks`](crate::chunks).
    pub chunked: bool,
    /// Simdgroups of a threadgroup, which divide `state`.
    pub simdgroups: u32,
}

/// Scalars of [`Scan`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct ScanArgs {
    /// Heads.
    pub heads: u32,
    /// Groups of heads that share `b` and `c`.
    pub groups: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Runs.
    pub runs: u32,
    /// Least step.
    pub least: f32,
    /// Greatest step.
    pub greatest: f32,
}

impl Spec for Scan {
    type Args = ScanArgs;

    fn threads(&self) -> u32 {
        self.simdgroups * LANES
    }

    fn grid(&self, a: &ScanArgs) -> [u32; 3] {
        [a.head_dim.div_ceil(LANES), a.heads, a.runs]
    }

    fn check(&self, a: &ScanArgs) -> Result<(), String> {
        let &Self { state, simdgroups, .. } = self;
        ensure!(state.is_multiple_of(simdgroups), "{state} rows for {simdgroups} simdgroups");
        check::states(a.heads, a.groups, state, a.head_dim)?;
        ensure!(a.least <= a.greatest, "steps from {} to {}", a.least, a.greatest);
        Ok(())
    }
}

impl Tunable for Scan {
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        variants(own, recurrence::dividing(own.state).map(|simdgroups| Self { simdgroups, ..own }))
    }

    /// Sums over rows of the state are divided among simdgroups.
    fn same_bits(&self) -> bool {
        false
    }
}

#[kernel]
fn scan(
    k: &Scan,
    runs: In<U32>,
    saves: In<U32>,
    x: In<F32>,
    dt: In<F32>,
    b: In<F32>,
    c: In<F32>,
    decay: In<F32>,
    dt_bias: In<F32>,
    #[when(k.skip)] skip: Option<In<F32>>,
    #[when(k.chunked)] factors: Option<In<F32>>,
    #[when(k.chunked)] carried: Option<InOut<F32>>,
    states: InOut<F32>,
    y: Out<F32>,
    a: Args<ScanArgs>,
) {
    let part = recurrence::part(k.state, a.heads, a.head_dim);
    let head = part.head;
    let of_group = head / (a.heads / a.groups);
    let rate = recurrence::rate(k.log_decay, decay, head);
    let bias = dt_bias.at(head);
    let skip = skip.map_or(val(0.0), |skip| skip.at(head));
    let parts = column_parts(1);
    let work =
        Work { part, x, dt, b, c, factors, carried, y, a, of_group, rate, bias, skip, parts };
    let chunk = k.chunked.then_some(|row| chunk(&work, row));
    walk(&work.part, runs, saves, states, |row| token(&work, row), chunk);
}
