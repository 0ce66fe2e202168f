//! The gated delta rule: token by token, or by chunks (Yang et al., "Gated delta networks", 2024; the chunked
//! form is that of Yang et al., "Parallelizing linear transformers with the delta rule", 2024).
//!
//! With `L[t]` the logarithm of the decay from the beginning of a chunk to its token `t`, the corrections
//! `u[t]` that are written into the state solve a triangular system, row by row:
//!
//! ```text
//! u[t] = beta[t] (v[t] - exp(L[t]) k[t] S - sum over s < t of exp(L[t] - L[s]) (k[t] . k[s]) u[s])
//! y[t] = exp(L[t]) q[t] S + sum over s <= t of exp(L[t] - L[s]) (q[t] . k[s]) u[s]
//! S'   = exp(L[end]) S + sum over s of exp(L[end] - L[s]) k[s] u[s]
//! ```
//!
//! and the products with `k[s]` serve all heads that share a key.

use std::ops::Range;

use tessera_graph::{CHUNK, DeltaDecl, HeadOrder};

use super::{
    ahead::fetch_ahead,
    chunk::{Reading, Writing},
    decay::{Decays, PerToken, column, each, factors, logarithms, steps},
    math::{load_some, map, sigmoid, store_some},
    small::{Columns, Lower, Matrix, ROWS, by_columns, transpose},
};
use crate::{
    isa::{Isa, Kernel, LANES},
    recur::Stretch,
};

/// A gated delta rule, its weights laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delta {
    /// `[heads]`: `A`.
    pub rate: *const f32,
    /// `[heads]`.
    pub dt_bias: *const f32,
    pub eps: f32,
    pub heads: usize,
    pub key_heads: usize,
    pub order: HeadOrder,
    pub key_dim: usize,
    pub value_dim: usize,
}

impl Delta {
    /// Vectors of a row of a head's state.
    pub fn vectors(&self) -> usize {
        self.value_dim.div_ceil(LANES)
    }

    /// Floats of a head's state.
    pub fn head_len(&self) -> usize {
        self.key_dim * self.vectors() * LANES
    }
}

/// Floats of scratch memory.
pub(crate) fn scratch_len(decl: &DeltaDecl) -> usize {
    CHUNK * (4 * CHUNK + 3 * decl.key_dim + decl.value_dim.next_multiple_of(LANES))
}

/// Some heads of one key over a stretch. Heads are counted key by key, however they lie.
pub(crate) struct Correcting<'a> {
    pub delta: &'a Delta,
    pub stretch: Stretch,
    pub heads: Range<usize>,
    /// `[len, key_heads * key_dim]`.
    pub q: Matrix,
    /// `[len, key_heads * key_dim]`.
    pub k: Matrix,
    /// `[len, heads * value_dim]`.
    pub v: Matrix,
    /// `[len, heads]`: decays.
    pub a: Matrix,
    /// `[len, heads]`: rates.
    pub b: Matrix,
    /// Like `v`.
    pub out: *mut f32,
    /// [`scratch_len`] floats.
    pub scratch: *mut f32,
}

impl Kernel for Correcting<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(mut self) {
        let delta = self.delta;
        let n = delta.key_dim;
        let key = self.heads.start / (delta.heads / delta.key_heads) * n;
        let (whole, len) = (self.stretch.is_chunk(), self.stretch.len);
        // SAFETY: the key head's columns of `q` and `k`, the heads' of everything else.
        unsafe {
            let memory = Memory::new(delta, self.scratch);
            let scale = 1.0 / (n as f32).sqrt();
            self.q = normalize::<S>(self.q.from(0, key), len, delta, scale, memory.q);
            self.k = normalize::<S>(self.k.from(0, key), len, delta, 1.0, memory.k);
            if whole {
                transpose(self.k, CHUNK, n, memory.turned);
                let b = Matrix { p: memory.turned, stride: CHUNK };
                Lower { a: self.k, b, n, out: memory.kk, rows: CHUNK }.run::<S>();
                Lower { a: self.q, b, n, out: memory.qk, rows: CHUNK }.run::<S>();
            }
            for index in self.heads.clone() {
                let head = delta.order.value_head(index, delta.heads, delta.key_heads);
                let head = Head::new::<S>(&self, head);
                if whole {
                    memory.head::<S>(&head);
                } else {
                    by_columns::<S, _>(&Tokens(&head), delta.vectors());
                }
            }
        }
    }
}

/// Writes `len` rows of one head divided by their lengths, times `scale`: `[len, key_dim]`.
///
/// # Safety
/// All rows are there; the machine has `S`.
#[inline(always)]
unsafe fn normalize<S: Isa>(
    x: Matrix,
    len: usize,
    delta: &Delta,
    scale: f32,
    out: *mut f32,
) -> Matrix {
    let n = delta.key_dim;
    // SAFETY: passed on.
    unsafe {
        for t in 0..len {
            let x = x.at(t, 0);
            let mut squares = S::splat(0.0);
            for i in (0..n).step_by(LANES) {
                let x = load_some::<S>(x.add(i), LANES.min(n - i));
                squares = S::fma(x, x, squares);
            }
            let factor = S::splat(scale / (S::sum(squares) + delta.eps).sqrt());
            map::<S>(x, out.add(t * n), n, |_, x| S::mul(x, factor));
        }
    }
    Matrix { p: out, stride: n }
}

/// One head over a stretch.
struct Head<'a> {
    all: &'a Correcting<'a>,
    /// `[key_dim, 16 * vectors]`.
    from: *const f32,
    to: *mut f32,
    /// `[len, value_dim]`.
    v: Matrix,
    out: *mut f32,
    /// Logarithms of the decays.
    decays: PerToken,
    /// How much of an error is corrected.
    rates: PerToken,
}

impl<'a> Head<'a> {
    /// # Safety
    /// The head is there; the machine has `S`.
    #[inline(always)]
    unsafe fn new<S: Isa>(all: &'a Correcting<'a>, head: usize) -> Self {
        let delta = all.delta;
        // SAFETY: the head's elements of each vector, its columns of each row.
        unsafe {
            let len = all.stretch.len;
            let (from, to) = all.stretch.part(head * delta.head_len(), delta.head_len());
            let (a, b) = (column(all.a, head, len), column(all.b, head, len));
            let steps = steps::<S>(&a, len, *delta.dt_bias.add(head), (0.0, f32::INFINITY));
            Self {
                all,
                from,
                to,
                v: all.v.from(0, head * delta.value_dim),
                out: all.out.add(head * delta.value_dim),
                decays: logarithms::<S>(&steps, len, *delta.rate.add(head)),
                rates: each::<S>(
                    &b,
                    len,
                    #[inline(always)]
                    |_, b| sigmoid::<S>(b),
                ),
            }
        }
    }

    /// Elements of vector `v` of the head.
    #[inline(always)]
    fn lanes(&self, v: usize) -> usize {
        LANES.min(self.all.delta.value_dim - v * LANES)
    }

    /// A vector of a token's value.
    ///
    /// # Safety
    /// It is there; the machine has `S`.
    #[inline(always)]
    unsafe fn value<S: Isa>(&self, t: usize, v: usize) -> S::F {
        // SAFETY: the caller's.
        unsafe { load_some::<S>(self.v.at(t, v * LANES), self.lanes(v)) }
    }
}

/// A head, token by token.
struct Tokens<'a>(&'a Head<'a>);

impl Columns for Tokens<'_> {
    const MOST: (usize, usize) = (8, 2);

    #[inline(always)]
    unsafe fn columns<S: Isa, const V: usize>(&self, first: usize) {
        let head = self.0;
        let Correcting { delta, stretch, q, k, v: values, .. } = head.all;
        let (n, width) = (delta.key_dim, delta.vectors() * LANES);
        // SAFETY: whole vectors of the state, and those of a row that are there.
        unsafe {
            let decays = factors::<S>(&head.decays, stretch.len);
            let mut from = head.from.add(first * LANES);
            let to = head.to.add(first * LANES);
            for t in 0..stretch.len {
                let (q, k) = (q.at(t, 0), k.at(t, 0));
                let decay = S::splat(decays[t]);
                let mut known = [S::splat(0.0); V];
                for i in 0..n {
                    let (from, to) = (from.add(i * width), to.add(i * width));
                    let k = S::splat(*k.add(i));
                    // later tokens find the state at hand
                    if t == 0 {
                        fetch_ahead::<V>(from, to);
                    }
                    for v in 0..V {
                        known[v] = S::fma(k, S::load(from.add(v * LANES)), known[v]);
                    }
                }
                for v in 0..V {
                    let value = head.value::<S>(t, first + v);
                    let error = S::sub(value, S::mul(known[v], decay));
                    known[v] = S::mul(error, S::splat(head.rates[t]));
                }
                let mut y = [S::splat(0.0); V];
                for i in 0..n {
                    let (q, k) = (S::splat(*q.add(i)), S::splat(*k.add(i)));
                    let (from, to) = (from.add(i * width), to.add(i * width));
                    for v in 0..V {
                        let s = S::mul(S::load(from.add(v * LANES)), decay);
                        let s = S::fma(k, known[v], s);
                        S::store(to.add(v * LANES), s);
                        y[v] = S::fma(q, s, y[v]);
                    }
                }
                let out = head.out.add(t * values.stride);
                for v in 0..V {
                    let at = first + v;
                    store_some::<S>(out.add(at * LANES), y[v], head.lanes(at));
                }
                from = to;
            }
        }
    }
}

/// A thread's memory.
struct Memory {
    /// `[len, key_dim]`: queries and keys, normalised.
    q: *mut f32,
    k: *mut f32,
    /// `[key_dim, CHUNK]`: keys, transposed.
    turned: *mut f32,
    /// `[CHUNK, CHUNK]`: products of keys with keys, and of queries with keys.
    kk: *mut f32,
    qk: *mut f32,
    /// `[CHUNK, CHUNK]`: what of correction `s` is in correction `t`, and in output `t`.
    solve: *mut f32,
    mixed: *mut f32,
    /// `[CHUNK, 16 * vectors]`: the corrections.
    u: *mut f32,
}

impl Memory {
    #[inline(always)]
    fn new(delta: &Delta, scratch: *mut f32) -> Self {
        let mut at = 0;
        let mut take = |len: usize| {
            at += len;
            scratch.wrapping_add(at - len)
        };
        let (square, keys) = (CHUNK * CHUNK, CHUNK * delta.key_dim);
        Self {
            kk: take(square),
            qk: take(square),
            solve: take(square),
            mixed: take(square),
            u: take(CHUNK * delta.vectors() * LANES),
            turned: take(keys),
            q: take(keys),
            k: take(keys),
        }
    }

    /// A head's chunk.
    ///
    /// # Safety
    /// The key head's products are there; the machine has `S`.
    #[inline(always)]
    unsafe fn head<S: Isa>(&self, head: &Head<'_>) {
        // SAFETY: whole vectors of this memory.
        unsafe {
            let decays = Decays::new(&head.decays);
            for t in 0..CHUNK {
                let rate = S::splat(-head.rates[t]);
                for s in (0..=t).step_by(LANES) {
                    let at = t * CHUNK + s;
                    let decay = decays.to::<S>(t, s);
                    let part = S::mul(decay, S::load(self.qk.add(at)));
                    S::store(self.mixed.add(at), S::keep(part, 0, LANES.min(t + 1 - s), 0.0));
                    let part = S::mul(S::mul(decay, rate), S::load(self.kk.add(at)));
                    S::store(self.solve.add(at), S::keep(part, 0, LANES.min(t - s), 0.0));
                }
            }
            let (since_start, to_end) = (decays.since_start::<S>(), decays.to_end::<S>());
            let work = ChunkColumns { memory: self, head, since_start, to_end };
            by_columns::<S, _>(&work, head.all.delta.vectors());
        }
    }
}

/// A head's chunk, once its factors are known.
struct ChunkColumns<'a> {
    memory: &'a Memory,
    head: &'a Head<'a>,
    since_start: PerToken,
    to_end: PerToken,
}

impl Columns for ChunkColumns<'_> {
    const MOST: (usize, usize) = (4, 1);

    #[inline(always)]
    unsafe fn columns<S: Isa, const V: usize>(&self, first: usize) {
        let (head, at) = (self.head, first * LANES);
        let Correcting { delta, q, k, v: values, .. } = head.all;
        let (n, stride) = (delta.key_dim, delta.vectors() * LANES);
        let state = Matrix { p: head.from.wrapping_add(at), stride };
        let u = Matrix { p: self.memory.u.wrapping_add(at), stride };
        let square = |p: *mut f32| Matrix { p, stride: CHUNK };
        let decay = &self.since_start;
        let (solve, mixed) = (square(self.memory.solve), square(self.memory.mixed));
        let known = Reading { reader: *k, state, n, decay, mixed: solve, inputs: u };
        let output = Reading { reader: *q, state, n, decay, mixed, inputs: u };
        // SAFETY: whole vectors of the state and of this memory, and those of a row that are there. The
        // state is read for corrections and outputs before it is written.
        unsafe {
            for t in (0..CHUNK).step_by(ROWS) {
                self.corrections::<S, V>(&known, first, t);
                let sums = output.of_state::<S, V>(t);
                let sums = output.add_inputs::<S, V>(sums, t, t + ROWS);
                for i in 0..ROWS {
                    let out = head.out.add((t + i) * values.stride + at);
                    for v in 0..V {
                        store_some::<S>(out.add(v * LANES), sums[i][v], head.lanes(first + v));
                    }
                }
            }
            for t in 0..CHUNK {
                for v in 0..V {
                    let left = S::mul(S::load(u.at(t, v * LANES)), S::splat(self.to_end[t]));
                    S::store(u.at(t, v * LANES).cast_mut(), left);
                }
            }
            let (to, kept) = (head.to.add(at), self.since_start[CHUNK - 1]);
            Writing { from: state, to, n, kept, writer: *k, inputs: u }.run::<S, V>();
        }
    }
}

impl ChunkColumns<'_> {
    /// Corrections of tokens `t .. t + ROWS`, given those before.
    ///
    /// # Safety
    /// As for [`Columns::columns`].
    #[inline(always)]
    unsafe fn corrections<S: Isa, const V: usize>(
        &self,
        known: &Reading<'_>,
        first: usize,
        t: usize,
    ) {
        let head = self.head;
        // SAFETY: the caller's.
        unsafe {
            let mut sums = known.of_state::<S, V>(t);
            for i in 0..ROWS {
                let rate = S::splat(head.rates[t + i]);
                for v in 0..V {
                    let value = head.value::<S>(t + i, first + v);
                    sums[i][v] = S::mul(S::sub(value, sums[i][v]), rate);
                }
            }
            let mut sums = known.add_inputs::<S, V>(sums, t, t);
            for i in 0..ROWS {
                for j in 0..i {
                    let factor = S::splat(*known.mixed.at(t + i, t + j));
                    for v in 0..V {
                        sums[i][v] = S::fma(factor, sums[j][v], sums[i][v]);
                    }
                }
                for v in 0..V {
                    S::store(known.inputs.at(t + i, v * LANES).cast_mut(), sums[i][v]);
                }
            }
        }
    }
}
