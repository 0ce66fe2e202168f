//! Selective state spaces, token by token, and from chunk to chunk.
//!
//! Version 1: a threadgroup makes 32 columns of one head of a run. Lane `l` has column `l`, each simdgroup some rows of the
//! state in registers; sums over rows go through shared memory, one barrier a token.

use tessera_tile::prelude::*;

use crate::{
    chunks::{CHUNK, total_log},
    recurrence::{self, Part, column_parts, column_sums, walk},
    tune::{Tunable, variants},
    unit::softplus,
};

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
        if self.state == 0 || !self.state.is_multiple_of(self.simdgroups) {
            return Err(format!("{} rows for {} simdgroups", self.state, self.simdgroups));
        }
        recurrence::check_heads(a.heads, a.groups)?;
        match (a.head_dim, a.least <= a.greatest) {
            (0, _) => Err("a head of no elements".into()),
            (_, false) => Err(format!("steps from {} to {}", a.least, a.greatest)),
            _ => Ok(()),
        }
    }
}

impl Tunable for Scan {
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        let fits = |&s: &u32| own.state.is_multiple_of(s) && own.state / s <= recurrence::MOST_ROWS;
        let sizes = [1, 2, 4, 8].into_iter().filter(fits);
        variants(own, sizes.map(|simdgroups| Self { simdgroups, ..own }))
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

/// What a threadgroup works with.
struct Work {
    part: Part,
    x: In<F32>,
    dt: In<F32>,
    b: In<F32>,
    c: In<F32>,
    factors: Option<In<F32>>,
    carried: Option<InOut<F32>>,
    y: Out<F32>,
    a: Args<ScanArgs>,
    of_group: Val<u32>,
    rate: Val<f32>,
    bias: Val<f32>,
    skip: Val<f32>,
    parts: Shared<F32>,
}

/// One token.
#[device]
fn token(w: &Work, row: Val<u32>) {
    let (a, part) = (&w.a, &w.part);
    let step = softplus(w.dt.at(row * a.heads + part.head) + w.bias);
    let step = min(max(step, a.least), a.greatest);
    let kept = exp(w.rate * step);
    let at = part.element(row);
    let x = w.x.at(at);
    let added = x * step;
    let b = part.of_rows(w.b, row, w.of_group, a.groups);
    let c = part.of_rows(w.c, row, w.of_group, a.groups);
    let mut sum = 0.0;
    for r in 0..part.state.len() {
        part.state[r] = fma(b[r], added, part.state[r] * kept);
        sum = fma(c[r], part.state[r], sum);
    }
    let [sum] = column_sums(w.parts, row, [sum.get()]);
    if (simdgroup() == 0) & part.inside {
        w.y.set(at, fma(w.skip, x, sum));
    }
}

/// One chunk: what it does to the state is known, and it finds the state as it was before.
#[device]
fn chunk(w: &Work, row: Val<u32>) {
    let part = &w.part;
    let chunk = row / CHUNK;
    if let (Some(factors), Some(carried)) = (w.factors, w.carried) {
        let kept = exp(total_log(factors, chunk * w.a.heads + part.head));
        if part.inside {
            for r in 0..part.state.len() {
                let at = part.place(chunk, r);
                let added = carried.at(at);
                carried.set(at, part.state[r]);
                part.state[r] = fma(part.state[r], kept, added);
            }
        }
    }
}
