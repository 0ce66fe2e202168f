//! Selective state spaces, token by token, and from chunk to chunk.
//!
//! Version 1: a threadgroup makes 32 columns of one head of a run. Lane `l` has column `l`, each simdgroup some rows of the
//! state in registers; sums over rows go through shared memory, one barrier a token.

use tessera_tile::prelude::*;

use crate::{
    chunks::{CHUNK, Stretch},
    tables::{NO_SLOT, run, save},
    unit::softplus,
};

/// The graph's operation `Scan`.
///
/// `runs` and `saves` are [tables](crate::tables); `x` and `y` are `[rows, heads * head_dim]`, `dt` `[rows, heads]`, `b` and `c`
/// `[rows, groups * state]`, `decay`, `dt_bias` and `skip` `[heads]`, `states` `[slots, heads, state, head_dim]`. With
/// `chunked`, `factors` and `carried` are those of the step's [chunks](crate::chunks); rows of `y` in chunks are left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

    fn name(&self) -> String {
        let Self { state, simdgroups, .. } = self;
        let flag = |set: bool, name: &'static str| if set { name } else { "" };
        let decay = flag(self.log_decay, "_log");
        let skip = flag(self.skip, "_skip");
        let chunked = flag(self.chunked, "_chunked");
        format!("scan_n{state}_s{simdgroups}{decay}{skip}{chunked}")
    }

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
        heads(a.heads, a.groups)?;
        match (a.head_dim, a.least <= a.greatest) {
            (0, _) => Err("a head of no elements".into()),
            (_, false) => Err(format!("steps from {} to {}", a.least, a.greatest)),
            _ => Ok(()),
        }
    }
}

/// Checks that groups share heads evenly.
pub(crate) fn heads(heads: u32, groups: u32) -> Result<(), String> {
    if groups == 0 || heads == 0 || !heads.is_multiple_of(groups) {
        return Err(format!("{heads} heads in {groups} groups"));
    }
    Ok(())
}

/// `A` of a head.
#[device]
pub(crate) fn rate(log_decay: bool, decay: In<F32>, head: Val<u32>) -> Val<f32> {
    let decay = decay.at(head);
    if log_decay { -exp(decay) } else { decay }
}

/// What a threadgroup knows.
struct Head {
    column: Val<u32>,
    inside: Val<bool>,
    head: Val<u32>,
    heads: Val<u32>,
    head_dim: Val<u32>,
    /// The first of its simdgroup's rows, and how many these are.
    first: Val<u32>,
    rows: u32,
    state: u32,
}

impl Head {
    /// Where row `r` of the simdgroup's is in an array of states.
    fn place(&self, array: Val<u32>, r: u32) -> Val<u32> {
        let row = (array * self.heads + self.head) * self.state + self.first + r;
        row * self.head_dim + self.column
    }

    /// The simdgroup's elements of row `row` of `b` or `c`.
    fn shared(
        &self,
        of: In<F32>,
        row: Val<u32>,
        group: Val<u32>,
        groups: Val<u32>,
    ) -> Vec<Val<f32>> {
        let at = (row * groups + group) * self.state + self.first;
        if self.rows.is_multiple_of(4) {
            return (0..self.rows / 4).flat_map(|i| of.load::<4>(at + i * 4)).collect();
        }
        (0..self.rows).map(|i| of.at(at + i)).collect()
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
    let column = group(0) * LANES + lane();
    let rows = k.state / k.simdgroups;
    let h = Head {
        column,
        inside: tessera_tile::flow::Compare::lt(column, a.head_dim),
        head: group(1),
        heads: a.heads,
        head_dim: a.head_dim,
        first: simdgroup() * rows,
        rows,
        state: k.state,
    };
    let of_group = h.head / (a.heads / a.groups);
    let rate = rate(k.log_decay, decay, h.head);
    let bias = dt_bias.at(h.head);
    let skip = skip.map_or(val(0.0), |skip| skip.at(h.head));
    let parts = shared::<F32>("parts", 2 * k.simdgroups * LANES);

    let of_run = group(2) * run::WORDS;
    let first_row = runs.at(of_run + run::ROW);
    let len = runs.at(of_run + run::LEN);
    let position = runs.at(of_run + run::POSITION);
    let slot = runs.at(of_run + run::SLOT);
    let first_save = runs.at(of_run + run::SAVES);
    let save_count = runs.at(of_run + run::SAVE_COUNT);
    let mut s = vec![0.0; rows as usize];
    if (slot != NO_SLOT) & h.inside {
        for r in 0..rows {
            s[r as usize] = states.at(h.place(slot, r));
        }
    }
    let mut done = 0u32;
    for i in 0..save_count + 1 {
        let mut after = len;
        if i < save_count {
            after = saves.at((first_save + i) * save::WORDS + save::AFTER);
        }
        let stretch = Stretch::new(k.chunked, position, done.get(), after.get());
        for part in 0..val(stretch.parts) {
            let (from, to) = stretch.tokens(part);
            for t in from..to {
                let row = first_row + t;
                let step = softplus(dt.at(row * a.heads + h.head) + bias);
                let step = min(max(step, a.least), a.greatest);
                let kept = exp(rate * step);
                let at = (row * a.heads + h.head) * a.head_dim + min(column, a.head_dim - 1);
                let x = x.at(at);
                let added = x * step;
                let b = h.shared(b, row, of_group, a.groups);
                let c = h.shared(c, row, of_group, a.groups);
                let mut sum = 0.0;
                for r in 0..rows as usize {
                    s[r] = fma(b[r], added, s[r] * kept);
                    sum = fma(c[r], s[r], sum);
                }
                let place = (row % 2) * (k.simdgroups * LANES) + lane();
                let sum = column_sum(parts, place, sum.get());
                if (simdgroup() == 0) & h.inside {
                    y.set(at, fma(skip, x, sum));
                }
            }
            if let (Some(factors), Some(carried)) = (factors, carried) {
                for t in (stretch.chunks(part).0..stretch.chunks(part).1).step_by(CHUNK) {
                    let chunk = (first_row + t) / CHUNK;
                    let log = crate::chunks::total_log(factors, chunk * a.heads + h.head);
                    let kept = exp(log);
                    if h.inside {
                        for r in 0..rows {
                            let at = h.place(chunk, r);
                            let added = carried.at(at);
                            carried.set(at, s[r as usize]);
                            s[r as usize] = fma(s[r as usize], kept, added);
                        }
                    }
                }
            }
        }
        if (i < save_count) & h.inside {
            let slot = saves.at((first_save + i) * save::WORDS + save::SLOT);
            for r in 0..rows {
                states.set(h.place(slot, r), s[r as usize]);
            }
        }
        done = after;
    }
}

/// The sum over the simdgroups, for the first of them. `parts` has two places for each thread, `place` being the first
/// simdgroup's in the half that was not used last: so one barrier is enough.
#[device]
pub(crate) fn column_sum(parts: Shared<F32>, place: Val<u32>, x: Val<f32>) -> Val<f32> {
    if simdgroups() == 1 {
        x
    } else {
        parts.set(place + simdgroup() * LANES, x);
        barrier();
        let mut sum = x;
        if simdgroup() == 0 {
            for i in 1..simdgroups() {
                sum += parts.at(place + i * LANES);
            }
        }
        sum.get()
    }
}
