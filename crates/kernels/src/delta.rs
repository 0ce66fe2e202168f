//! Gated delta rules, token by token, and from chunk to chunk.
//!
//! Version 1: a threadgroup makes 32 columns of one head of a run. Lane `l` has column `l`, each simdgroup some rows of the
//! state in registers. What a token reads with its query is made of the state before its correction, so that both sums
//! over rows go through shared memory together, with one barrier.

use tessera_tile::prelude::*;

use crate::{
    chunks::{CHUNK, factor, factor_of, total_log},
    recurrence::{self, Part, column_parts, column_sums, group_of, walk},
    tune::{Tunable, variants},
    unit::{sigmoid, softplus},
};

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
        if key_dim == 0 || simdgroups > MAX_SIMDGROUPS || !key_dim.is_multiple_of(simdgroups) {
            return Err(format!("keys of {key_dim} for {simdgroups} simdgroups"));
        }
        recurrence::check_heads(a.heads, a.key_heads)?;
        match a.value_dim {
            0 => Err("values of no elements".into()),
            _ => Ok(()),
        }
    }
}

impl Tunable for Delta {
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        let fits =
            |&s: &u32| own.key_dim.is_multiple_of(s) && own.key_dim / s <= recurrence::MOST_ROWS;
        let sizes = [1, 2, 4, 8].into_iter().filter(fits);
        variants(own, sizes.map(|simdgroups| Self { simdgroups, ..own }))
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

/// One token.
#[device]
fn token(w: &Work, row: Val<u32>) {
    let (args, part) = (&w.args, &w.part);
    let gate = row * args.heads + part.head;
    let kept = exp(w.rate * softplus(w.a.at(gate) + w.bias));
    let beta = sigmoid(w.b.at(gate));
    let first = (row * args.key_heads + w.key_head) * w.key_dim;
    let mut squares = [0.0; 2];
    let mut product = 0.0;
    for i in (lane()..w.key_dim).step_by(LANES) {
        let (q, k) = (w.q.at(first + i), w.keys.at(first + i));
        squares[0] = fma(q, q, squares[0]);
        squares[1] = fma(k, k, squares[1]);
        product = fma(q, k, product);
    }
    let scale_q = rsqrt((simd_sum(squares[0]) + args.eps) * w.key_dim as f32);
    let scale_k = rsqrt(simd_sum(squares[1]) + args.eps);
    let product = simd_sum(product) * scale_q * scale_k;
    let q = part.of_rows(w.q, row, w.key_head, args.key_heads);
    let k = part.of_rows(w.keys, row, w.key_head, args.key_heads);
    let mut known = 0.0;
    let mut read = 0.0;
    for r in 0..part.state.len() {
        part.state[r] *= kept;
        known = fma(k[r], part.state[r], known);
        read = fma(q[r], part.state[r], read);
    }
    let [known, read] = column_sums(w.parts, row, [known.get(), read.get()]);
    let at = part.element(row);
    let correction = beta * (w.v.at(at) - known * scale_k);
    let written = correction * scale_k;
    for r in 0..part.state.len() {
        part.state[r] = fma(k[r], written, part.state[r]);
    }
    if (simdgroup() == 0) & part.inside {
        w.y.set(at, fma(product, correction, read * scale_q));
    }
}

/// Tokens of a chunk at a time.
const BATCH: u32 = 8;

/// What there is for chunks.
struct Chunks {
    factors: In<F32>,
    readers: In<F32>,
    corrections: InOut<F32>,
    before: Out<F32>,
    /// What each simdgroup's rows are in the readings of a batch, twice.
    sums: Shared<F32>,
    /// The corrections of a chunk.
    written: Shared<F32>,
    /// What is left at the chunk's end of what a token writes.
    left: Shared<F32>,
}

impl Chunks {
    fn new(
        factors: Option<In<F32>>,
        readers: Option<In<F32>>,
        corrections: Option<InOut<F32>>,
        before: Option<Out<F32>>,
    ) -> Option<Self> {
        Some(Self {
            factors: factors?,
            readers: readers?,
            corrections: corrections?,
            before: before?,
            sums: shared("sums", 2 * BATCH * simdgroups() * LANES),
            written: shared("written", CHUNK * LANES),
            left: shared("left", CHUNK),
        })
    }
}

/// One chunk: its corrections, and what they do to the state.
#[device]
fn chunk(w: &Work, c: &Chunks, row: Val<u32>) {
    let (args, part) = (&w.args, &w.part);
    let number = row / CHUNK;
    let of = number * args.heads + part.head;
    let kept = exp(total_log(c.factors, of));
    // until here they may have read of the chunk before
    barrier();
    for t in (thread()..CHUNK).step_by(threads()) {
        let mut log = 0.0;
        for after in t + 1..CHUNK {
            log += c.factors.at(factor_of(of, factor::LOG) + after);
        }
        c.left.set(t, exp(log) * c.factors.at(factor_of(of, factor::WRITE) + t));
    }
    if part.inside {
        for r in 0..part.state.len() {
            c.before.set(part.place(number, r), part.state[r]);
        }
    }
    for batch in (val(0)..CHUNK).step_by(BATCH) {
        let half = batch / BATCH % 2 * (BATCH * simdgroups() * LANES) + lane();
        for t in 0..BATCH {
            let reader = part.of_rows(c.readers, row + batch + t, part.head, args.heads);
            let mut sum = 0.0;
            for r in 0..part.state.len() {
                sum = fma(reader[r], part.state[r], sum);
            }
            c.sums.set(half + (simdgroup() + t * simdgroups()) * LANES, sum);
        }
        barrier();
        for t in (simdgroup()..BATCH).step_by(simdgroups()) {
            let mut known = 0.0;
            for g in 0..simdgroups() {
                known += c.sums.at(half + (t * simdgroups() + g) * LANES);
            }
            let mut correction = 0.0;
            if part.inside {
                let at = part.element(row + batch + t);
                correction = c.corrections.at(at) - known;
                c.corrections.set(at, correction);
            }
            c.written.set((batch + t) * LANES + lane(), correction);
        }
    }
    barrier();
    for r in 0..part.state.len() {
        part.state[r] *= kept;
    }
    for t in val(0)..CHUNK {
        let written = c.written.at(t * LANES + lane()) * c.left.at(t);
        let k = part.of_rows(w.keys, row + t, w.key_head, args.key_heads);
        for r in 0..part.state.len() {
            part.state[r] = fma(k[r], written, part.state[r]);
        }
    }
}
