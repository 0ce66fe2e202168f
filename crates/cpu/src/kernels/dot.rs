//! Dot products of a tile's 16 rows with `M` rows of activations: one generic body for integer codes with
//! int8 activations, one for codes with f32 activations, one for plain floats.
//!
//! Sums run in one fixed order, along the columns, whatever `M` is: a row's result is the same bits in any
//! company.

use super::{
    acts::{Acts, Meta},
    codes::Unpack,
    scales::ChunkScales,
};
use crate::{
    isa::{Isa, LANES, prefetch},
    tile::{BLOCK, CHUNK, Tiles},
};

/// How a tile is multiplied with `M` rows of activations.
pub(super) trait Dot {
    /// Numbers of rows that are worth taking at once, besides one: a sum of powers of two.
    const SIZES: usize;

    /// 16 outputs for each of rows `row .. row + M`.
    ///
    /// # Safety
    /// Tile `tile` of `w` is packed and of this kind, the activations are prepared for it, and the machine
    /// has `S`.
    unsafe fn tile<S: Isa, const M: usize>(
        w: &Tiles,
        tile: usize,
        acts: &Acts,
        row: usize,
    ) -> [S::F; M];
}

/// Rows of activations that stay in the second-level cache while a range of tiles passes over them.
pub(super) const ROW_BLOCK: usize = 64;

/// How far ahead of its use a tile is fetched: the hardware's own prefetching leaves half of the memory's
/// speed unused. Every line has to be asked for; one in five left out costs nearly all of the gain.
const AHEAD: usize = 6400;

/// Fetches `lines` lines that lie [`AHEAD`] of `p`.
#[inline(always)]
fn fetch_ahead(p: *const u8, lines: usize) {
    for line in 0..lines {
        prefetch(p.wrapping_add(AHEAD + line * 64));
    }
}

/// Whether `row` is the first to pass over a tile, which the rows of its block then find at hand.
fn first_to_pass(row: usize) -> bool {
    row.is_multiple_of(ROW_BLOCK)
}

/// Calls `body(block, codes, group's scales, group)` for each block of a tile, in order; with `fetch`, what
/// comes later is asked for on the way.
///
/// # Safety
/// As for [`Dot::tile`].
#[inline(always)]
unsafe fn blocks<S: Isa, U: Unpack>(
    w: &Tiles,
    tile: usize,
    fetch: bool,
    mut body: impl FnMut(usize, *const u8, &ChunkScales<'_>, usize),
) {
    let mut p: *const u8 = w.tile(tile);
    let total = w.blocks();
    // several blocks may share a group, and with groups of 16 a block has two
    let shift = (w.group / BLOCK).max(1).trailing_zeros();
    let two = usize::from(w.group < BLOCK);
    let mut first = 0;
    while first < total {
        let here = CHUNK.min(total - first);
        let scales = ChunkScales::new(w, p, here);
        let (start, lines) = (p, w.scale_bytes(here).div_ceil(64 * here));
        // SAFETY: `p` walks the tile chunk by chunk, as it was laid out.
        unsafe {
            p = p.add(w.scale_bytes(here));
            for b in 0..here {
                if fetch {
                    fetch_ahead(start.wrapping_add(b * lines * 64), lines);
                    fetch_ahead(p, U::BYTES / 64);
                }
                body(first + b, p, &scales, (b >> shift) << two);
                p = p.add(U::BYTES);
            }
        }
        first += here;
    }
}

/// Integer codes with int8 activations; `SMALL` for groups of 16.
pub(super) struct Int<U, const SMALL: bool>(std::marker::PhantomData<U>);

impl<U: Unpack, const SMALL: bool> Dot for Int<U, SMALL> {
    const SIZES: usize = 8 | 4 | 2;

    #[inline(always)]
    unsafe fn tile<S: Isa, const M: usize>(
        w: &Tiles,
        tile: usize,
        acts: &Acts,
        row: usize,
    ) -> [S::F; M] {
        // SAFETY: all offsets stay within the tile and the prepared rows.
        unsafe {
            let mut acc = [S::splat(0.0); M];
            let table = S::load_bytes(w.table.as_ptr());
            let (zero, has_bias) = (-w.zero, w.has_bias());
            let (q, meta, lanes) = (acts.q, acts.meta.cast_const(), acts.lanes);
            let at = acts.first(row);
            blocks::<S, U>(w, tile, first_to_pass(row), |block, codes, scales, g| {
                let c = U::unpack::<S>(codes, table);
                let q = q.add((at + block * lanes) * BLOCK).cast::<i32>();
                let meta = meta.add(at + block * lanes);
                if SMALL {
                    let (low, high) = (scales.scale::<S>(g), scales.scale::<S>(g + 1));
                    for m in 0..M {
                        let (q, meta) = (q.add(m * BLOCK / 4), meta.add(m));
                        let scale = S::splat((*meta).scale);
                        let isum_low = (*meta).isum_low;
                        let isum_high = (*meta).isum.wrapping_sub(isum_low);
                        let a = four::<S, true>(zero.wrapping_mul(isum_low), &c, 0, q);
                        let b = four::<S, true>(zero.wrapping_mul(isum_high), &c, 4, q);
                        acc[m] = S::fma(S::mul(S::to_float(a), scale), low, acc[m]);
                        acc[m] = S::fma(S::mul(S::to_float(b), scale), high, acc[m]);
                    }
                    if has_bias {
                        let (low, high) = (scales.bias::<S>(g), scales.bias::<S>(g + 1));
                        for m in 0..M {
                            let meta = &*meta.add(m);
                            let fsum_high = meta.fsum - meta.fsum_low;
                            acc[m] = S::fma(S::splat(meta.fsum_low), low, acc[m]);
                            acc[m] = S::fma(S::splat(fsum_high), high, acc[m]);
                        }
                    }
                } else {
                    let scale = scales.scale::<S>(g);
                    // nothing to subtract is the common case, and costs nothing
                    if zero == 0 {
                        add_block::<S, U, M, false>(&mut acc, &c, scale, q, meta, 0);
                    } else {
                        add_block::<S, U, M, true>(&mut acc, &c, scale, q, meta, zero);
                    }
                    if has_bias {
                        let bias = scales.bias::<S>(g);
                        for m in 0..M {
                            acc[m] = S::fma(S::splat((*meta.add(m)).fsum), bias, acc[m]);
                        }
                    }
                }
            });
            acc
        }
    }
}

/// Adds a block's scaled dot products, less `zero` for each code if `ZERO`. A lane without a row holds
/// anything, hence sums that wrap.
///
/// # Safety
/// `q` and `meta` are good for `M` rows of the block; the machine has `S`.
#[inline(always)]
unsafe fn add_block<S: Isa, U: Unpack, const M: usize, const ZERO: bool>(
    acc: &mut [S::F; M],
    c: &[S::B; 8],
    scale: S::F,
    q: *const i32,
    meta: *const Meta,
    zero: i32,
) {
    // SAFETY: the caller vouches for the memory and the machine.
    unsafe {
        for m in 0..M {
            let (q, meta) = (q.add(m * BLOCK / 4), meta.add(m));
            let mut sum = S::splat_i(if ZERO { zero.wrapping_mul((*meta).isum) } else { 0 });
            for j in 0..8 {
                sum = dot::<S, U>(sum, c[j], q.add(j).read_unaligned());
            }
            let sum = S::mul(S::to_float(sum), S::splat((*meta).scale));
            acc[m] = S::fma(sum, scale, acc[m]);
        }
    }
}

/// `start` plus the dot product of four k-steps, from step `j`.
///
/// # Safety
/// `q` is good for the block; the machine has `S`.
#[inline(always)]
unsafe fn four<S: Isa, const WIDE: bool>(
    start: i32,
    c: &[S::B; 8],
    j: usize,
    q: *const i32,
) -> S::I {
    // SAFETY: the caller vouches for the memory and the machine.
    unsafe {
        let mut sum = S::splat_i(start);
        for j in j..j + 4 {
            sum = S::dot::<WIDE>(sum, c[j], q.add(j).read_unaligned());
        }
        sum
    }
}

/// [`Isa::dot`] with the width that the codes need.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
unsafe fn dot<S: Isa, U: Unpack>(sum: S::I, codes: S::B, x: i32) -> S::I {
    // SAFETY: the caller vouches for the machine.
    unsafe { if U::WIDE { S::dot::<true>(sum, codes, x) } else { S::dot::<false>(sum, codes, x) } }
}

/// Codes with f32 activations; `SMALL` for groups of 16.
pub(super) struct Exact<U, const SMALL: bool>(std::marker::PhantomData<U>);

impl<U: Unpack, const SMALL: bool> Dot for Exact<U, SMALL> {
    const SIZES: usize = 4;

    #[inline(always)]
    unsafe fn tile<S: Isa, const M: usize>(
        w: &Tiles,
        tile: usize,
        acts: &Acts,
        row: usize,
    ) -> [S::F; M] {
        // SAFETY: all offsets stay within the tile and the prepared rows.
        unsafe {
            let mut acc = [S::splat(0.0); M];
            let table = S::load_bytes(w.table.as_ptr());
            let zero = S::splat(w.zero as f32);
            let has_bias = w.has_bias();
            let steps = if SMALL { 2 } else { 1 };
            let at = acts.first(row);
            blocks::<S, U>(w, tile, first_to_pass(row), |block, codes, scales, g| {
                let c = U::unpack::<S>(codes, table);
                for h in 0..steps {
                    let mut part = [[S::splat(0.0); 4]; M];
                    for j in 8 / steps * h..8 / steps * (h + 1) {
                        let x = acts.x.add(row * acts.width + block * BLOCK + 4 * j);
                        let w4 = columns::<S, U>(c[j], zero);
                        for m in 0..M {
                            let x = x.add(m * acts.width);
                            for k in 0..4 {
                                part[m][k] = S::fma(w4[k], S::splat(*x.add(k)), part[m][k]);
                            }
                        }
                    }
                    let scale = scales.scale::<S>(g + h);
                    for m in 0..M {
                        let p = part[m];
                        let sum = S::add(S::add(p[0], p[1]), S::add(p[2], p[3]));
                        acc[m] = S::fma(sum, scale, acc[m]);
                        if has_bias {
                            let meta = &*acts.meta.add(at + block * acts.lanes + m);
                            let fsum = match (SMALL, h) {
                                (false, _) => meta.fsum,
                                (true, 0) => meta.fsum_low,
                                (true, _) => meta.fsum - meta.fsum_low,
                            };
                            let bias = scales.bias::<S>(g + h);
                            acc[m] = S::fma(S::splat(fsum), bias, acc[m]);
                        }
                    }
                }
            });
            acc
        }
    }
}

/// The four columns of a k-step as floats.
///
/// # Safety
/// The machine has `S`.
#[inline(always)]
unsafe fn columns<S: Isa, U: Unpack>(c: S::B, zero: S::F) -> [S::F; 4] {
    // SAFETY: the caller vouches for the machine.
    unsafe {
        if U::FLOAT {
            return [
                S::byte_e4m3::<0>(c),
                S::byte_e4m3::<1>(c),
                S::byte_e4m3::<2>(c),
                S::byte_e4m3::<3>(c),
            ];
        }
        [
            S::sub(S::byte::<0>(c), zero),
            S::sub(S::byte::<1>(c), zero),
            S::sub(S::byte::<2>(c), zero),
            S::sub(S::byte::<3>(c), zero),
        ]
    }
}

/// Plain floats with f32 activations.
pub(super) struct Dense<const KIND: u8>;

/// `Dense<F32>` and so on: the float type as a constant.
pub(super) const F32: u8 = 0;
pub(super) const F16: u8 = 1;
pub(super) const BF16: u8 = 2;

impl<const KIND: u8> Dot for Dense<KIND> {
    const SIZES: usize = 4;

    #[inline(always)]
    unsafe fn tile<S: Isa, const M: usize>(
        w: &Tiles,
        tile: usize,
        acts: &Acts,
        row: usize,
    ) -> [S::F; M] {
        // SAFETY: all offsets stay within the tile and the prepared rows.
        unsafe {
            let p: *const u8 = w.tile(tile);
            let x = acts.x.add(row * acts.width);
            let column = |k: usize| match KIND {
                F32 => S::load(p.cast::<f32>().add(k * LANES)),
                F16 => S::load_f16(p.cast::<u16>().add(k * LANES)),
                _ => S::load_bf16(p.cast::<u16>().add(k * LANES)),
            };
            // four sums in turn, so that additions overlap; joined in one fixed order
            let mut part = [[S::splat(0.0); 4]; M];
            let whole = w.cols / 4 * 4;
            let (lines, fetch) = (if KIND == F32 { 4 } else { 2 }, first_to_pass(row));
            for k in (0..whole).step_by(4) {
                if fetch {
                    fetch_ahead(p.wrapping_add(k * lines * LANES), lines);
                }
                for i in 0..4 {
                    let w = column(k + i);
                    for m in 0..M {
                        part[m][i] =
                            S::fma(w, S::splat(*x.add(m * acts.width + k + i)), part[m][i]);
                    }
                }
            }
            for k in whole..w.cols {
                let w = column(k);
                for m in 0..M {
                    part[m][0] = S::fma(w, S::splat(*x.add(m * acts.width + k)), part[m][0]);
                }
            }
            let mut acc = [S::splat(0.0); M];
            for m in 0..M {
                let p = part[m];
                acc[m] = S::add(S::add(p[0], p[1]), S::add(p[2], p[3]));
            }
            acc
        }
    }
}
