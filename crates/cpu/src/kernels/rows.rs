//! Computations on one row at a time: norms, rotary embedding, pointwise functions, preparation of
//! activations.

use tessera_graph::{Activation, GatedUnit};

use super::{
    acts::Acts,
    math::{activate, gated, load_some, map, store_some, tanh},
    matmul::Wants,
};
use crate::isa::{Isa, Kernel, LANES};

/// `out = x / sqrt(mean(x^2) + eps) * weight`, over each of `heads` equal parts of a row.
#[derive(Clone, Copy)]
pub(crate) struct Norm {
    pub x: *const f32,
    pub out: *mut f32,
    /// `[len]`, the graph's offset already added.
    pub weight: *const f32,
    /// Elements from one head's weight to the next's; 0 where they share one.
    pub weight_step: usize,
    pub eps: f32,
    pub heads: usize,
    /// Elements of a head.
    pub len: usize,
}

impl Kernel for Norm {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        let Self { x, out, weight, weight_step, eps, heads, len } = self;
        // SAFETY: the row has `heads * len` elements, the weight `len` from each step.
        unsafe {
            for h in 0..heads {
                let (x, out) = (x.add(h * len), out.add(h * len));
                let weight = weight.add(h * weight_step);
                // two sums in turn, so that additions overlap
                let mut squares = [S::splat(0.0); 2];
                for (n, i) in (0..len).step_by(LANES).enumerate() {
                    let v = load_some::<S>(x.add(i), LANES.min(len - i));
                    squares[n % 2] = S::fma(v, v, squares[n % 2]);
                }
                let mean = S::sum(S::add(squares[0], squares[1])) / len as f32;
                let inverse = S::splat(1.0 / (mean + eps).sqrt());
                for i in (0..len).step_by(LANES) {
                    let n = LANES.min(len - i);
                    let v = S::mul(load_some::<S>(x.add(i), n), inverse);
                    store_some::<S>(out.add(i), S::mul(v, load_some::<S>(weight.add(i), n)), n);
                }
            }
        }
    }
}

/// `out = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps) * weight + bias`.
#[derive(Clone, Copy)]
pub(crate) struct LayerNorm {
    pub x: *const f32,
    pub out: *mut f32,
    /// `[len]`.
    pub weight: *const f32,
    /// `[len]`.
    pub bias: *const f32,
    pub eps: f32,
    /// Elements of the row.
    pub len: usize,
}

impl Kernel for LayerNorm {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        let Self { x, out, weight, bias, eps, len } = self;
        // SAFETY: the row, the weight and the bias have `len` elements.
        unsafe {
            let mut sum = S::splat(0.0);
            for i in (0..len).step_by(LANES) {
                sum = S::add(sum, load_some::<S>(x.add(i), LANES.min(len - i)));
            }
            let mean = S::splat(S::sum(sum) / len as f32);
            let mut squares = S::splat(0.0);
            for i in (0..len).step_by(LANES) {
                let n = LANES.min(len - i);
                // what is not there is as far from the mean as zero is, and does not count
                let v = S::keep(S::sub(load_some::<S>(x.add(i), n), mean), 0, n, 0.0);
                squares = S::fma(v, v, squares);
            }
            let inverse = S::splat(1.0 / (S::sum(squares) / len as f32 + eps).sqrt());
            for i in (0..len).step_by(LANES) {
                let n = LANES.min(len - i);
                let v = S::mul(S::sub(load_some::<S>(x.add(i), n), mean), inverse);
                let bias = load_some::<S>(bias.add(i), n);
                let v = S::fma(v, load_some::<S>(weight.add(i), n), bias);
                store_some::<S>(out.add(i), v, n);
            }
        }
    }
}

/// Prepares one row of activations for the products that read it.
pub(crate) struct Prepare {
    pub x: *const f32,
    /// Elements of the row.
    pub cols: usize,
    /// A norm of the whole row first; its `x` and `out` are ignored.
    pub norm: Option<Norm>,
    pub acts: Acts,
    pub row: usize,
    /// What is read of it.
    pub wants: Wants,
    /// `acts.width` elements of this thread's own.
    pub scratch: *mut f32,
}

impl Kernel for Prepare {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        let mut x = self.x;
        // SAFETY: the row has `cols` elements, the scratch `acts.width >= cols`.
        unsafe {
            if let Some(norm) = self.norm {
                Norm { x, out: self.scratch, ..norm }.run::<S>();
                x = self.scratch;
            }
            if self.acts.width != self.cols {
                if x != self.scratch {
                    std::ptr::copy_nonoverlapping(x, self.scratch, self.cols);
                    x = self.scratch;
                }
                std::ptr::write_bytes(self.scratch.add(self.cols), 0, self.acts.width - self.cols);
            }
            let Wants { int, halves, float } = self.wants;
            if int {
                self.acts.quantize::<S>(x, self.row, halves);
            }
            if float {
                self.acts.copy::<S>(x, self.row, !int);
            }
        }
    }
}

/// Rotates the first `2 * half` elements of each head: `(a, b) -> (a cos - b sin, b cos + a sin)`.
pub(crate) struct Rope {
    pub x: *const f32,
    pub out: *mut f32,
    /// `[2, half]`: cosines, then sines.
    pub table: *const f32,
    pub half: usize,
    pub heads: usize,
    pub head_dim: usize,
}

impl Kernel for Rope {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        let Self { x, out, table, half, heads, head_dim } = self;
        // SAFETY: the row has `heads * head_dim` elements, `2 * half <= head_dim`.
        unsafe {
            for h in 0..heads {
                let (x, out) = (x.add(h * head_dim), out.add(h * head_dim));
                for i in (0..half).step_by(LANES) {
                    let n = LANES.min(half - i);
                    let (a, b) = (load_some::<S>(x.add(i), n), load_some::<S>(x.add(half + i), n));
                    let cos = load_some::<S>(table.add(i), n);
                    let sin = load_some::<S>(table.add(half + i), n);
                    let minus = S::sub(S::splat(0.0), sin);
                    store_some::<S>(out.add(i), S::fma(b, minus, S::mul(a, cos)), n);
                    store_some::<S>(out.add(half + i), S::fma(a, sin, S::mul(b, cos)), n);
                }
                let rest = head_dim - 2 * half;
                if rest > 0 && x != out.cast_const() {
                    std::ptr::copy(x.add(2 * half), out.add(2 * half), rest);
                }
            }
        }
    }
}

/// Pointwise functions of one or two rows.
pub(crate) enum Pointwise {
    /// The unit of gate `a` and `b`.
    Glu(GatedUnit),
    /// `a + b`.
    Add,
    /// `a * b`.
    Mul,
    /// `activation(a)`.
    Activate(Activation),
    /// `a * factor`.
    Scale(f32),
    /// `cap * tanh(a / cap)`.
    Softcap(f32),
}

/// A pointwise function over `n` elements; `b` is read only by functions of two rows.
pub(crate) struct Map {
    pub function: Pointwise,
    pub a: *const f32,
    pub b: *const f32,
    pub out: *mut f32,
    pub n: usize,
}

impl Kernel for Map {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        let Self { function, a, b, out, n } = self;
        // SAFETY: all three rows have `n` elements (`b` where it is read); each element is read before
        // it is written, so `out` may be `a` or `b`.
        unsafe {
            let b = |i: usize| load_some::<S>(b.add(i), LANES.min(n - i));
            match function {
                Pointwise::Glu(unit) => map::<S>(a, out, n, |i, a| gated::<S>(unit, a, b(i))),
                Pointwise::Add => map::<S>(a, out, n, |i, a| S::add(a, b(i))),
                Pointwise::Mul => map::<S>(a, out, n, |i, a| S::mul(a, b(i))),
                Pointwise::Activate(f) => map::<S>(a, out, n, |_, a| activate::<S>(f, a)),
                Pointwise::Scale(factor) => map::<S>(a, out, n, |_, a| S::mul(a, S::splat(factor))),
                Pointwise::Softcap(cap) => map::<S>(a, out, n, |_, a| {
                    S::mul(S::splat(cap), tanh::<S>(S::div(a, S::splat(cap))))
                }),
            }
        }
    }
}

/// The sum of rows, each times its share, in the order of `places`.
pub(crate) struct Mix<'a> {
    /// `[.., n]`.
    pub rows: *const f32,
    /// Which of them.
    pub places: &'a [u32],
    /// One for each of `places`.
    pub shares: *const f32,
    /// `[n]`.
    pub out: *mut f32,
    pub n: usize,
}

impl Kernel for Mix<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        const MANY: usize = 4 * LANES;
        let whole = self.n / MANY * MANY;
        // SAFETY: rows and `out` have `n` elements.
        unsafe {
            for i in (0..whole).step_by(MANY) {
                let mut sums = [S::splat(0.0); MANY / LANES];
                self.each(|row, share| {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = S::fma(S::load(row.add(i + v * LANES)), S::splat(share), *sum);
                    }
                });
                for (v, sum) in sums.into_iter().enumerate() {
                    S::store(self.out.add(i + v * LANES), sum);
                }
            }
            for i in (whole..self.n).step_by(LANES) {
                let here = LANES.min(self.n - i);
                let mut sum = S::splat(0.0);
                self.each(|row, share| {
                    sum = S::fma(load_some::<S>(row.add(i), here), S::splat(share), sum);
                });
                store_some::<S>(self.out.add(i), sum, here);
            }
        }
    }
}

impl Mix<'_> {
    /// Calls `f` for each row and its share.
    ///
    /// # Safety
    /// There is a share for each place.
    #[inline(always)]
    unsafe fn each(&self, mut f: impl FnMut(*const f32, f32)) {
        for (j, &place) in self.places.iter().enumerate() {
            // SAFETY: the caller's.
            f(self.rows.wrapping_add(place as usize * self.n), unsafe { *self.shares.add(j) });
        }
    }
}
