//! Attention over paged keys and values, a page at a time with a running softmax (Milakov and Gimelshein,
//! 2018; Dao et al., 2022).
//!
//! Positions are cut at multiples of [`SPLIT`], whoever computes them: each split has its own running
//! softmax and splits are joined in order. So the bits of a result depend neither on how work is shared
//! among threads nor on which queries are computed together.

use tessera_graph::{KvType, PAGE};

use std::{array::from_fn, f32::consts::LOG2_E, mem::MaybeUninit};

use super::math::{exp2, load_some, map, tanh};
use crate::{
    isa::{Isa, Kernel, LANES, prefetch},
    kv::{BrainElement, Element, FloatElement, HalfElement, Layer},
};

/// Positions of a split.
pub(crate) const SPLIT: usize = 256;
/// Queries computed together.
pub(crate) const GROUP: usize = 4;
/// Elements of the widest head.
pub(crate) const WIDEST: usize = 512;

/// One query: a head of a row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query {
    /// `[head_dim]`.
    pub q: *const f32,
    /// First position seen.
    pub lo: usize,
    /// One past the last position seen.
    pub hi: usize,
}

/// A softmax so far: largest score (in powers of two), sum of weights, weighted values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Partial {
    pub largest: f32,
    pub sum: f32,
    /// `[dim]`.
    pub values: *mut f32,
}

/// Attention of up to [`GROUP`] queries, sharing a key/value head, to one split.
pub(crate) struct Split<'a> {
    pub layer: &'a Layer,
    pub kv: KvType,
    /// Key/value head.
    pub head: usize,
    /// Page addresses of the sequence, by position / PAGE; null where no query of the batch looks.
    pub pages: &'a [*mut u8],
    pub queries: &'a [Query],
    pub scale: f32,
    pub softcap: Option<f32>,
    /// Which split.
    pub split: usize,
    /// One for each query; `values` is overwritten, `largest` and `sum` set.
    pub out: &'a mut [Partial],
}

impl Kernel for Split<'_> {
    type Output = ();

    const PAIRS: bool = true;

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        // SAFETY: passed on.
        unsafe {
            match self.kv {
                KvType::F16 => self.by_count::<S, HalfElement>(),
                KvType::BF16 => self.by_count::<S, BrainElement>(),
                KvType::F32 => self.by_count::<S, FloatElement>(),
            }
        }
    }
}

/// Scores of a split, then weights: for each of `R` queries, each of the split's positions.
#[repr(align(64))]
struct Scores<const R: usize>([[f32; SPLIT]; R]);

impl Split<'_> {
    #[inline(always)]
    unsafe fn by_count<S: Isa, E: Element>(self) {
        // SAFETY: passed on.
        unsafe {
            match self.queries.len() {
                1 => self.split::<S, E, 1>(),
                2 => self.split::<S, E, 2>(),
                3 => self.split::<S, E, 3>(),
                _ => self.split::<S, E, GROUP>(),
            }
        }
    }

    /// Scores of all positions, their softmax, then the weighted values.
    #[inline(always)]
    unsafe fn split<S: Isa, E: Element, const R: usize>(mut self) {
        let base = self.split * SPLIT;
        // whole pages that any query sees
        let lo = self.queries.iter().map(|q| q.lo).min().unwrap_or(0).max(base) / PAGE * PAGE;
        let hi = self.queries.iter().map(|q| q.hi).max().unwrap_or(0).min(base + SPLIT);
        let hi = hi.next_multiple_of(PAGE);
        let dim = self.layer.dim;
        // SAFETY: pages from `lo` to `hi` are present and hold this layer; they lie in the split.
        unsafe {
            // written before they are read: scores of `lo .. hi`, factors of whole vectors of columns
            let mut scores = MaybeUninit::<Scores<R>>::uninit();
            let scores = scores.as_mut_ptr().cast::<f32>();
            let mut factors = MaybeUninit::<[[E::Factor; WIDEST]; R]>::uninit();
            let factors = factors.as_mut_ptr().cast::<E::Factor>();
            for (r, query) in self.queries.iter().enumerate() {
                for d in (0..self.layer.head_dim).step_by(LANES) {
                    let n = LANES.min(self.layer.head_dim - d);
                    let q = load_some::<S>(query.q.add(d), n);
                    E::factors::<S>(factors.add(r * WIDEST), d, q);
                }
            }
            for start in (lo..hi).step_by(PAGE) {
                let keys = self.keys(start);
                let next =
                    if start + PAGE < hi { self.keys(start + PAGE) } else { self.values(lo) };
                let out = scores.add(start - base);
                let blocks = if S::WIDE { PAGE / LANES } else { 1 };
                for block in (0..PAGE / LANES).step_by(blocks) {
                    let offset = block * dim * LANES * E::BYTES;
                    let (keys, next) = (keys.add(offset), next.wrapping_add(offset));
                    let (out, at) = (out.add(block * LANES), start + block * LANES);
                    if const { S::WIDE } {
                        self.scores::<S, E, R, { PAGE / LANES }>(keys, next, factors, at, out);
                    } else {
                        self.scores::<S, E, R, 1>(keys, next, factors, at, out);
                    }
                }
            }
            for r in 0..R {
                let row = scores.add(r * SPLIT + lo - base);
                (self.out[r].largest, self.out[r].sum) = softmax::<S>(row, hi - lo);
                // each vector is read whole before any of it is overwritten by what is no larger
                for i in (0..hi - lo).step_by(LANES) {
                    E::factors::<S>(row.cast(), i, S::load(row.add(i)));
                }
            }
            let mut d = 0;
            while d + 4 * LANES <= dim {
                self.columns::<S, E, R, 4>(scores, lo, hi, d);
                d += 4 * LANES;
            }
            while d < dim {
                self.columns::<S, E, R, 1>(scores, lo, hi, d);
                d += LANES;
            }
        }
    }

    /// The head's key block of the page of position `start`.
    #[inline(always)]
    fn keys(&self, start: usize) -> *const u8 {
        self.layer.keys(self.pages[start / PAGE], self.head, self.kv)
    }

    /// The head's value block of that page.
    #[inline(always)]
    fn values(&self, start: usize) -> *const u8 {
        self.keys(start).wrapping_add(self.layer.block_bytes(self.kv))
    }

    /// Masked scores of `N` blocks of positions, the first of which is `at`, to `out` (`[R][SPLIT]`).
    /// What lies as far into `next` is fetched on the way.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // an inner loop, cut out to be compiled for two widths
    unsafe fn scores<S: Isa, E: Element, const R: usize, const N: usize>(
        &self,
        keys: *const u8,
        next: *const u8,
        factors: *const E::Factor,
        at: usize,
        out: *mut f32,
    ) {
        let dim = self.layer.dim;
        // SAFETY: the key block holds `N * dim * LANES` elements from here.
        unsafe {
            let mut acc = [[S::splat(0.0); N]; R];
            for step in 0..self.layer.head_dim.div_ceil(E::STEP) {
                let k: [_; N] = from_fn(|n| E::load::<S>(keys, (n * dim + step * E::STEP) * LANES));
                fetch_steps::<E, N>(next, step, dim * E::BYTES * LANES);
                for r in 0..R {
                    let q = *factors.add(r * WIDEST + step);
                    for n in 0..N {
                        acc[r][n] = E::fma::<S>(k[n], q, acc[r][n]);
                    }
                }
            }
            let scale = if self.softcap.is_some() { self.scale } else { self.scale * LOG2_E };
            for r in 0..R {
                let query = &self.queries[r];
                for n in 0..N {
                    let start = at + n * LANES;
                    // in powers of two, so that no factor is left for the exponential
                    let mut s = S::mul(acc[r][n], S::splat(scale));
                    if let Some(cap) = self.softcap {
                        s = S::mul(S::splat(cap * LOG2_E), tanh::<S>(S::div(s, S::splat(cap))));
                    }
                    let inside = |x: usize| x.saturating_sub(start).min(LANES);
                    let (a, z) = (inside(query.lo), inside(query.hi));
                    if z - a.min(z) != LANES {
                        s = S::keep(s, a.min(z), z, f32::NEG_INFINITY);
                    }
                    S::store(out.add(r * SPLIT + n * LANES), s);
                }
            }
        }
    }

    /// Weighted values of positions `lo .. hi`, `N` vectors of columns from `d`.
    #[inline(always)]
    unsafe fn columns<S: Isa, E: Element, const R: usize, const N: usize>(
        &mut self,
        weights: *const f32,
        lo: usize,
        hi: usize,
        d: usize,
    ) {
        let (dim, base) = (self.layer.dim, self.split * SPLIT);
        // SAFETY: a value block holds `PAGE * dim` elements, each `values` `dim` floats, and weights are
        // stored as factors from position `lo`.
        unsafe {
            let mut acc = [[S::splat(0.0); N]; R];
            for start in (lo..hi).step_by(PAGE) {
                let values = self.values(start);
                let next = match self.pages.get(start / PAGE + 1) {
                    Some(_) if start + PAGE < hi => self.values(start + PAGE),
                    // most likely the next split's turn
                    Some(_) => self.keys(start + PAGE),
                    None => values,
                };
                let next = next.wrapping_add(d * E::STEP * E::BYTES);
                for step in 0..PAGE / E::STEP {
                    let x: [_; N] =
                        from_fn(|n| E::load::<S>(values, (step * dim + d + n * LANES) * E::STEP));
                    fetch_row::<E, N>(next.wrapping_add(step * dim * E::STEP * E::BYTES));
                    for r in 0..R {
                        let row = weights.add(r * SPLIT + lo - base).cast::<E::Factor>();
                        let w = *row.add((start - lo) / E::STEP + step);
                        for n in 0..N {
                            acc[r][n] = E::fma::<S>(x[n], w, acc[r][n]);
                        }
                    }
                }
            }
            for r in 0..R {
                for n in 0..N {
                    S::store(self.out[r].values.add(d + n * LANES), acc[r][n]);
                }
            }
        }
    }
}

/// Bytes of one vector of elements as it is stored.
const fn vector_bytes<E: Element>() -> usize {
    LANES * E::STEP * E::BYTES
}

/// Fetches what step `step` of `N` key blocks, `stride` bytes apart, will read.
#[inline(always)]
fn fetch_steps<E: Element, const N: usize>(block: *const u8, step: usize, stride: usize) {
    let offset = step * vector_bytes::<E>();
    if offset.is_multiple_of(64) {
        (0..N).for_each(|n| prefetch(block.wrapping_add(n * stride + offset)));
    }
}

/// Fetches `N` vectors side by side.
#[inline(always)]
fn fetch_row<E: Element, const N: usize>(row: *const u8) {
    let lines = (N * vector_bytes::<E>()).div_ceil(64);
    (0..lines).for_each(|line| prefetch(row.wrapping_add(line * 64)));
}

/// Turns `n` scores (whole vectors) into weights `2^(score - largest)`: the largest score and the weights'
/// sum. Where every score is masked all weights are zero.
#[inline(always)]
unsafe fn softmax<S: Isa>(p: *mut f32, n: usize) -> (f32, f32) {
    // SAFETY: whole vectors of the row.
    unsafe {
        let mut top = S::splat(f32::NEG_INFINITY);
        for i in (0..n).step_by(LANES) {
            top = S::max(S::load(p.add(i)), top);
        }
        let largest = S::largest(top);
        let shift = S::splat(if largest == f32::NEG_INFINITY { 0.0 } else { largest });
        let mut sums = [S::splat(0.0); 2];
        for i in (0..n).step_by(2 * LANES) {
            for (h, sum) in sums.iter_mut().enumerate() {
                let p = p.add(i + h * LANES);
                let w = exp2::<S>(S::sub(S::load(p), shift));
                S::store(p, w);
                *sum = S::add(*sum, w);
            }
        }
        (largest, S::sum(S::add(sums[0], sums[1])))
    }
}

/// `2^x` of one number, by the same polynomial.
#[inline(always)]
unsafe fn exp2_one<S: Isa>(x: f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    // SAFETY: a whole vector of the array.
    unsafe { S::store(lanes.as_mut_ptr(), exp2::<S>(S::splat(x))) };
    lanes[0]
}

/// Adds a split to those before it; gives the sum, in the storage of `old`.
pub(crate) struct Join {
    pub old: Partial,
    pub new: Partial,
    /// Floats of both values: a whole number of vectors.
    pub dim: usize,
}

impl Kernel for Join {
    type Output = Partial;

    #[inline(always)]
    unsafe fn run<S: Isa>(self) -> Partial {
        let Self { old, new, dim } = self;
        if new.largest == f32::NEG_INFINITY {
            return old;
        }
        let largest = old.largest.max(new.largest);
        // SAFETY: both values hold `dim` floats.
        unsafe {
            let (a, b) =
                (exp2_one::<S>(old.largest - largest), exp2_one::<S>(new.largest - largest));
            for d in (0..dim).step_by(LANES) {
                let x = S::mul(S::load(old.values.add(d)), S::splat(a));
                S::store(old.values.add(d), S::fma(S::load(new.values.add(d)), S::splat(b), x));
            }
            Partial { largest, sum: old.sum * a + new.sum * b, values: old.values }
        }
    }
}

/// `out = values / sum`: what attention gives, once all splits are joined. A sink takes its share of the sum
/// here, once, so that it is the same whoever computed the splits.
pub(crate) struct Finish {
    pub all: Partial,
    /// A score (in nats) of the softmax that has no value.
    pub sink: Option<f32>,
    /// `[head_dim]`.
    pub out: *mut f32,
    pub head_dim: usize,
}

impl Kernel for Finish {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        // SAFETY: the values hold at least `head_dim` floats, as does `out`.
        unsafe {
            let inverse = match self.sink {
                None => 1.0 / self.all.sum,
                Some(sink) => {
                    let (sink, seen) = (sink * LOG2_E, self.all.largest);
                    let largest = seen.max(sink);
                    let factor = exp2_one::<S>(seen - largest);
                    factor / (self.all.sum * factor + exp2_one::<S>(sink - largest))
                }
            };
            let inverse = S::splat(inverse);
            map::<S>(self.all.values, self.out, self.head_dim, |_, x| S::mul(x, inverse));
        }
    }
}
