//! Attention over paged keys and values, a page at a time with a running softmax (Milakov and Gimelshein,
//! 2018; Dao et al., 2022).
//!
//! Positions are cut at multiples of [`SPLIT`], whoever computes them: each split has its own running
//! softmax and splits are joined in order. So the bits of a result depend neither on how work is shared
//! among threads nor on which queries are computed together.

use tessera_graph::{KvType, PAGE};

use super::math::{exp, map, tanh};
use crate::{
    isa::{Isa, Kernel, LANES},
    kv::{BrainElement, Element, FloatElement, HalfElement, Layer},
};

/// Positions of a split.
pub(crate) const SPLIT: usize = 256;
/// Queries computed together.
pub(crate) const GROUP: usize = 4;

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

/// A softmax so far: largest score, sum of weights, weighted values.
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

impl Split<'_> {
    #[inline(always)]
    unsafe fn by_count<S: Isa, E: Element>(self) {
        // SAFETY: passed on.
        unsafe {
            match self.queries.len() {
                1 => self.pages::<S, E, 1>(),
                2 => self.pages::<S, E, 2>(),
                3 => self.pages::<S, E, 3>(),
                _ => self.pages::<S, E, GROUP>(),
            }
        }
    }

    /// All pages of the split, in order.
    #[inline(always)]
    unsafe fn pages<S: Isa, E: Element, const R: usize>(self) {
        let dim = self.layer.dim;
        let mut largest = [f32::NEG_INFINITY; R];
        let mut sum = [0.0f32; R];
        let lo = self.queries.iter().map(|q| q.lo).min().unwrap_or(0).max(self.split * SPLIT);
        let hi = self.queries.iter().map(|q| q.hi).max().unwrap_or(0).min((self.split + 1) * SPLIT);
        // SAFETY: `values` holds `dim` floats; pages from `lo` to `hi` are present and hold this layer.
        unsafe {
            for out in self.out.iter() {
                std::ptr::write_bytes(out.values, 0, dim);
            }
            let mut start = lo / PAGE * PAGE;
            while start < hi {
                let keys: *const u8 = self.layer.keys(self.pages[start / PAGE], self.head, self.kv);
                let values = keys.add(self.layer.block_bytes(self.kv));
                let mut weights = [[0.0f32; PAGE]; R];
                self.scores::<S, E, R>(keys, start, &mut weights);
                let mut rescale = [1.0f32; R];
                for r in 0..R {
                    let top = page_largest::<S>(&weights[r]);
                    if top == f32::NEG_INFINITY {
                        weights[r] = [0.0; PAGE];
                        continue;
                    }
                    let new = largest[r].max(top);
                    rescale[r] = exp_one::<S>(largest[r] - new);
                    largest[r] = new;
                    sum[r] = sum[r] * rescale[r] + page_weights::<S>(&mut weights[r], new);
                }
                let (from, to) = (lo.max(start) - start, (hi - start).min(PAGE));
                self.values::<S, E, R>(values, &weights, &rescale, from, to);
                start += PAGE;
            }
        }
        for (r, out) in self.out.iter_mut().enumerate() {
            (out.largest, out.sum) = (largest[r], sum[r]);
        }
    }

    /// Masked scores of a page's positions: `[R][PAGE]`.
    #[inline(always)]
    unsafe fn scores<S: Isa, E: Element, const R: usize>(
        &self,
        keys: *const u8,
        start: usize,
        out: &mut [[f32; PAGE]; R],
    ) {
        const BLOCKS: usize = PAGE / LANES;
        let dim = self.layer.dim;
        // SAFETY: the key block holds `BLOCKS * dim * LANES` elements.
        unsafe {
            let mut acc = [[S::splat(0.0); BLOCKS]; R];
            for d in 0..self.layer.head_dim {
                let mut k = [S::splat(0.0); BLOCKS];
                for (b, k) in k.iter_mut().enumerate() {
                    *k = E::load::<S>(keys, (b * dim + d) * LANES);
                }
                for r in 0..R {
                    let q = S::splat(*self.queries[r].q.add(d));
                    for b in 0..BLOCKS {
                        acc[r][b] = S::fma(k[b], q, acc[r][b]);
                    }
                }
            }
            for r in 0..R {
                let query = &self.queries[r];
                let from = query.lo.saturating_sub(start).min(PAGE);
                let to = query.hi.saturating_sub(start).min(PAGE);
                for b in 0..BLOCKS {
                    let mut s = S::mul(acc[r][b], S::splat(self.scale));
                    if let Some(cap) = self.softcap {
                        s = S::mul(S::splat(cap), tanh::<S>(S::div(s, S::splat(cap))));
                    }
                    let inside = |x: usize| x.saturating_sub(b * LANES).min(LANES);
                    let (a, z) = (inside(from), inside(to));
                    let s = S::keep(s, a.min(z), z, f32::NEG_INFINITY);
                    S::store(out[r].as_mut_ptr().add(b * LANES), s);
                }
            }
        }
    }

    /// `values = values * rescale + weights * V` over positions `from .. to` of a page.
    #[inline(always)]
    unsafe fn values<S: Isa, E: Element, const R: usize>(
        &self,
        v: *const u8,
        weights: &[[f32; PAGE]; R],
        rescale: &[f32; R],
        from: usize,
        to: usize,
    ) {
        let dim = self.layer.dim;
        let mut d = 0;
        // SAFETY: columns `d ..` of each call lie within `dim`.
        unsafe {
            while d + 4 * LANES <= dim {
                self.columns::<S, E, R, 4>(v, weights, rescale, from, to, d);
                d += 4 * LANES;
            }
            while d < dim {
                self.columns::<S, E, R, 1>(v, weights, rescale, from, to, d);
                d += LANES;
            }
        }
    }

    /// [`Split::values`] for `N` vectors of columns from `d`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // an inner loop, cut out to be compiled for two widths
    unsafe fn columns<S: Isa, E: Element, const R: usize, const N: usize>(
        &self,
        v: *const u8,
        weights: &[[f32; PAGE]; R],
        rescale: &[f32; R],
        from: usize,
        to: usize,
        d: usize,
    ) {
        // SAFETY: the value block holds `PAGE * dim` elements, each `values` holds `dim`.
        unsafe {
            let mut acc = [[S::splat(0.0); N]; R];
            for r in 0..R {
                for n in 0..N {
                    let old = S::load(self.out[r].values.add(d + n * LANES));
                    acc[r][n] = S::mul(old, S::splat(rescale[r]));
                }
            }
            for p in from..to {
                for n in 0..N {
                    let x = E::load::<S>(v, p * self.layer.dim + d + n * LANES);
                    for r in 0..R {
                        acc[r][n] = S::fma(x, S::splat(weights[r][p]), acc[r][n]);
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

/// Largest of a page's scores.
#[inline(always)]
unsafe fn page_largest<S: Isa>(scores: &[f32; PAGE]) -> f32 {
    // SAFETY: whole vectors of the array.
    unsafe {
        let mut top = S::load(scores.as_ptr());
        for b in 1..PAGE / LANES {
            top = S::max(top, S::load(scores.as_ptr().add(b * LANES)));
        }
        S::largest(top)
    }
}

/// Turns scores into weights `e^(score - largest)` and sums them.
#[inline(always)]
unsafe fn page_weights<S: Isa>(scores: &mut [f32; PAGE], largest: f32) -> f32 {
    // SAFETY: whole vectors of the array.
    unsafe {
        let mut sum = S::splat(0.0);
        for b in 0..PAGE / LANES {
            let p = scores.as_mut_ptr().add(b * LANES);
            let w = exp::<S>(S::sub(S::load(p), S::splat(largest)));
            S::store(p, w);
            sum = S::add(sum, w);
        }
        S::sum(sum)
    }
}

/// `e^x` of one number, by the same polynomial.
#[inline(always)]
unsafe fn exp_one<S: Isa>(x: f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    // SAFETY: a whole vector of the array.
    unsafe { S::store(lanes.as_mut_ptr(), exp::<S>(S::splat(x))) };
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
            let (a, b) = (exp_one::<S>(old.largest - largest), exp_one::<S>(new.largest - largest));
            for d in (0..dim).step_by(LANES) {
                let x = S::mul(S::load(old.values.add(d)), S::splat(a));
                S::store(old.values.add(d), S::fma(S::load(new.values.add(d)), S::splat(b), x));
            }
            Partial { largest, sum: old.sum * a + new.sum * b, values: old.values }
        }
    }
}

/// `out = values / sum`: what attention gives, once all splits are joined.
pub(crate) struct Finish {
    pub all: Partial,
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
            let inverse = S::splat(1.0 / self.all.sum);
            map::<S>(self.all.values, self.out, self.head_dim, |_, x| S::mul(x, inverse));
        }
    }
}
