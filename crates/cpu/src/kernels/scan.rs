//! Selective state spaces: token by token, or by chunks as products of matrices (Dao and Gu, "Transformers are
//! SSMs", 2024, section 6).
//!
//! With `L[t]` the logarithm of the decay from the beginning of a chunk to its token `t`,
//!
//! ```text
//! y[t] = exp(L[t]) c[t] S  +  sum over s <= t of exp(L[t] - L[s]) d[s] (c[t] . b[s]) x[s]  +  D x[t]
//! S'   = exp(L[end]) S  +  sum over s of exp(L[end] - L[s]) d[s] b[s] x[s]
//! ```
//!
//! and the products `c[t] . b[s]` serve all heads of a group.

use std::ops::Range;

use tessera_graph::{CHUNK, ScanDecl};

use super::{
    ahead::fetch_ahead,
    chunk::{Reading, Writing},
    decay::{Decays, PerToken, column, factors, logarithms, steps},
    math::{load_some, store_some},
    small::{Columns, Lower, Matrix, ROWS, by_columns, transpose},
};
use crate::{
    isa::{Isa, Kernel, LANES},
    recur::Stretch,
};

/// A selective state space, its weights laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scan {
    /// `[heads]`: `A`.
    pub rate: *const f32,
    /// `[heads]`.
    pub dt_bias: *const f32,
    /// `[heads]`: `D`, or null.
    pub skip: *const f32,
    pub dt_limit: (f32, f32),
    pub heads: usize,
    pub groups: usize,
    pub head_dim: usize,
    /// Elements that an element of `x` is spread over.
    pub state: usize,
}

impl Scan {
    /// Vectors of a row of a head's state.
    pub fn vectors(&self) -> usize {
        self.head_dim.div_ceil(LANES)
    }

    /// Floats of a head's state.
    pub fn head_len(&self) -> usize {
        self.state * self.vectors() * LANES
    }
}

/// Floats of scratch memory.
pub(crate) fn scratch_len(decl: &ScanDecl) -> usize {
    CHUNK * (2 * CHUNK + decl.state + 2 * decl.head_dim.next_multiple_of(LANES))
}

/// Some heads of one group over a stretch.
pub(crate) struct Scanning<'a> {
    pub scan: &'a Scan,
    pub stretch: Stretch,
    pub heads: Range<usize>,
    /// `[len, heads * head_dim]`.
    pub x: Matrix,
    /// `[len, heads]`.
    pub dt: Matrix,
    /// `[len, groups * state]`.
    pub b: Matrix,
    /// `[len, groups * state]`.
    pub c: Matrix,
    /// Like `x`.
    pub out: *mut f32,
    /// [`scratch_len`] floats.
    pub scratch: *mut f32,
}

impl Kernel for Scanning<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(mut self) {
        let scan = self.scan;
        let group = self.heads.start / (scan.heads / scan.groups);
        (self.b, self.c) = (self.b.from(0, group * scan.state), self.c.from(0, group * scan.state));
        let whole = self.stretch.is_chunk();
        // SAFETY: the group's columns of `b` and `c`, the heads' of everything else.
        unsafe {
            let chunk = Chunk::new(scan, self.scratch);
            if whole {
                transpose(self.b, CHUNK, scan.state, chunk.turned);
                let b = Matrix { p: chunk.turned, stride: CHUNK };
                let (out, rows) = (chunk.products, CHUNK);
                Lower { a: self.c, b, n: scan.state, out, rows }.run::<S>();
            }
            for head in self.heads.clone() {
                let head = Head::new::<S>(&self, head);
                if whole {
                    chunk.head::<S>(&head);
                } else {
                    by_columns::<S, _>(&Tokens(&head), scan.vectors());
                }
            }
        }
    }
}

/// One head over a stretch.
struct Head<'a> {
    all: &'a Scanning<'a>,
    /// `[state, 16 * vectors]`.
    from: *const f32,
    to: *mut f32,
    /// `[len, head_dim]`.
    x: Matrix,
    out: *mut f32,
    steps: PerToken,
    /// Logarithms of the decays.
    decays: PerToken,
    skip: f32,
}

impl<'a> Head<'a> {
    /// # Safety
    /// The head is there; the machine has `S`.
    #[inline(always)]
    unsafe fn new<S: Isa>(all: &'a Scanning<'a>, head: usize) -> Self {
        let scan = all.scan;
        // SAFETY: the head's elements of each vector, its columns of each row.
        unsafe {
            let len = all.stretch.len;
            let (from, to) = all.stretch.part(head * scan.head_len(), scan.head_len());
            let dt = column(all.dt, head, len);
            let steps = steps::<S>(&dt, len, *scan.dt_bias.add(head), scan.dt_limit);
            Self {
                all,
                from,
                to,
                x: all.x.from(0, head * scan.head_dim),
                out: all.out.add(head * scan.head_dim),
                steps,
                decays: logarithms::<S>(&steps, len, *scan.rate.add(head)),
                skip: if scan.skip.is_null() { 0.0 } else { *scan.skip.add(head) },
            }
        }
    }

    /// Elements of vector `v` of the head.
    #[inline(always)]
    fn lanes(&self, v: usize) -> usize {
        LANES.min(self.all.scan.head_dim - v * LANES)
    }
}

/// A head, token by token.
struct Tokens<'a>(&'a Head<'a>);

impl Columns for Tokens<'_> {
    const MOST: (usize, usize) = (8, 2);

    #[inline(always)]
    unsafe fn columns<S: Isa, const V: usize>(&self, first: usize) {
        let head = self.0;
        let Scanning { scan, stretch, b, c, .. } = head.all;
        let (n, width) = (scan.state, scan.vectors() * LANES);
        // SAFETY: whole vectors of the state, and those of a row that are there.
        unsafe {
            let decays = factors::<S>(&head.decays, stretch.len);
            let mut from = head.from.add(first * LANES);
            let to = head.to.add(first * LANES);
            for t in 0..stretch.len {
                let (b, c) = (b.at(t, 0), c.at(t, 0));
                let decay = S::splat(decays[t]);
                let mut x = [S::splat(0.0); V];
                let mut y = [S::splat(0.0); V];
                for v in 0..V {
                    let one = head.x.at(t, (first + v) * LANES);
                    let one = load_some::<S>(one, head.lanes(first + v));
                    y[v] = S::mul(one, S::splat(head.skip));
                    x[v] = S::mul(one, S::splat(head.steps[t]));
                }
                for i in 0..n {
                    let (b, c) = (S::splat(*b.add(i)), S::splat(*c.add(i)));
                    let (from, to) = (from.add(i * width), to.add(i * width));
                    // later tokens find the state at hand
                    if t == 0 {
                        fetch_ahead::<V>(from, to);
                    }
                    for v in 0..V {
                        let s = S::mul(S::load(from.add(v * LANES)), decay);
                        let s = S::fma(b, x[v], s);
                        S::store(to.add(v * LANES), s);
                        y[v] = S::fma(c, s, y[v]);
                    }
                }
                let out = head.out.add(t * head.all.x.stride);
                for v in 0..V {
                    let at = first + v;
                    store_some::<S>(out.add(at * LANES), y[v], head.lanes(at));
                }
                from = to;
            }
        }
    }
}

/// A thread's memory for whole chunks.
struct Chunk {
    /// `[CHUNK, CHUNK]`: `c[t] . b[s]`, of the group.
    products: *mut f32,
    /// `[state, CHUNK]`: `b`, transposed.
    turned: *mut f32,
    /// `[CHUNK, CHUNK]`: what of `x[s]` is in `y[t]`.
    mixed: *mut f32,
    /// `[CHUNK, 16 * vectors]`: `x`.
    x: *mut f32,
    /// The same, times what of each is left at the end.
    left: *mut f32,
}

impl Chunk {
    #[inline(always)]
    fn new(scan: &Scan, scratch: *mut f32) -> Self {
        let mixed = scratch.wrapping_add(CHUNK * CHUNK);
        let turned = mixed.wrapping_add(CHUNK * CHUNK);
        let x = turned.wrapping_add(scan.state * CHUNK);
        let left = x.wrapping_add(CHUNK * scan.vectors() * LANES);
        Self { products: scratch, turned, mixed, x, left }
    }

    /// # Safety
    /// The group's products are there; the machine has `S`.
    #[inline(always)]
    unsafe fn head<S: Isa>(&self, head: &Head<'_>) {
        let vectors = head.all.scan.vectors();
        // SAFETY: whole vectors of this memory, and those of a row that are there.
        unsafe {
            let decays = Decays::new(&head.decays);
            let (since_start, to_end) = (decays.since_start::<S>(), decays.to_end::<S>());
            for t in 0..CHUNK {
                for s in (0..=t).step_by(LANES) {
                    let at = t * CHUNK + s;
                    let part = S::mul(decays.to::<S>(t, s), S::load(head.steps.as_ptr().add(s)));
                    let part = S::mul(part, S::load(self.products.add(at)));
                    let part = S::keep(part, 0, LANES.min(t + 1 - s), 0.0);
                    S::store(self.mixed.add(at), part);
                }
                let left = S::splat(to_end[t] * head.steps[t]);
                for v in 0..vectors {
                    let at = (t * vectors + v) * LANES;
                    let x = load_some::<S>(head.x.at(t, v * LANES), head.lanes(v));
                    S::store(self.x.add(at), x);
                    S::store(self.left.add(at), S::mul(x, left));
                }
            }
            by_columns::<S, _>(&ChunkColumns { chunk: self, head, since_start }, vectors);
        }
    }
}

/// A head's chunk, once its factors are known.
struct ChunkColumns<'a> {
    chunk: &'a Chunk,
    head: &'a Head<'a>,
    since_start: PerToken,
}

impl Columns for ChunkColumns<'_> {
    const MOST: (usize, usize) = (4, 1);

    #[inline(always)]
    unsafe fn columns<S: Isa, const V: usize>(&self, first: usize) {
        let (head, chunk, at) = (self.head, self.chunk, first * LANES);
        let Scanning { scan, b, c, x, .. } = head.all;
        let (n, stride) = (scan.state, scan.vectors() * LANES);
        let state = Matrix { p: head.from.wrapping_add(at), stride };
        let inputs = Matrix { p: chunk.x.wrapping_add(at), stride };
        let mixed = Matrix { p: chunk.mixed, stride: CHUNK };
        let reading = Reading { reader: *c, state, n, decay: &self.since_start, mixed, inputs };
        // SAFETY: whole vectors of the state and of this memory, and those of a row that are there. The
        // state is read for outputs before it is written.
        unsafe {
            for t in (0..CHUNK).step_by(ROWS) {
                let sums = reading.of_state::<S, V>(t);
                let sums = reading.add_inputs::<S, V>(sums, t, t + ROWS);
                for i in 0..ROWS {
                    let out = head.out.add((t + i) * x.stride + at);
                    for v in 0..V {
                        let x = S::load(inputs.at(t + i, v * LANES));
                        let y = S::fma(x, S::splat(head.skip), sums[i][v]);
                        store_some::<S>(out.add(v * LANES), y, head.lanes(first + v));
                    }
                }
            }
            let to = head.to.add(at);
            let inputs = Matrix { p: chunk.left.add(at), stride };
            let kept = self.since_start[CHUNK - 1];
            Writing { from: state, to, n, kept, writer: *b, inputs }.run::<S, V>();
        }
    }
}
