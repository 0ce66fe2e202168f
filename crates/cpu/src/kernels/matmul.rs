//! Matrix products over a range of tiles, with what follows the product.

use tessera_graph::{Activation, GatedUnit};
use tessera_quant::{Codes, Float};

use super::{
    acts::Acts,
    codes::{Bits, E4m3, Table, Unpack},
    dot::{BF16, Dense, Dot, Exact, F16, F32, Int, ROW_BLOCK},
    math::{activate, gated, load_some, store_some},
};
use crate::{
    isa::{Isa, Kernel, LANES, Level},
    tile::{BLOCK, Tiles},
};

/// What happens to a product before it is stored.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Finish {
    /// Store it.
    Store,
    /// Add the row at this address, of the same width as the output.
    Add(*const f32),
    /// Store this function of it.
    Activate(Activation),
    /// Store the unit of what is stored there already, its gate, and the product.
    Gate(GatedUnit),
}

/// One matrix applied to prepared activations.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product<'a> {
    /// The matrix.
    pub weight: &'a Tiles,
    /// `[out]`.
    pub bias: Option<*const f32>,
    /// Prepared rows.
    pub acts: Acts,
    /// How many.
    pub rows: usize,
    /// `[rows, out]`.
    pub out: *mut f32,
    /// What follows.
    pub finish: Finish,
}

/// How matrices read their rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wants {
    /// As int8 codes.
    pub int: bool,
    /// With sums of half blocks.
    pub halves: bool,
    /// As f32.
    pub float: bool,
}

impl Wants {
    /// Whether a matrix of such codes reads f32.
    pub fn float_of(codes: Codes, precise: bool) -> bool {
        precise || matches!(codes, Codes::Float(_) | Codes::E4M3)
    }

    /// What any of `weights` reads.
    pub fn of<'a>(weights: impl Iterator<Item = &'a Tiles>, precise: bool) -> Self {
        weights.fold(Self { int: false, halves: false, float: false }, |all, weight| {
            let float = Self::float_of(weight.codes, precise);
            Self {
                int: all.int || !float,
                halves: all.halves || weight.group < BLOCK,
                float: all.float || float,
            }
        })
    }
}

impl Product<'_> {
    /// Computes tiles `first .. last`.
    ///
    /// # Safety
    /// `level` is available; the weight is packed; activations are prepared (as [`Wants`]
    /// says) for `rows` rows; `out`, `bias` and what `finish` reads are good for the rows and outputs of
    /// these tiles, and nobody else touches those outputs.
    pub unsafe fn run(&self, level: Level, precise: bool, first: usize, last: usize) {
        // SAFETY: passed on; the kind of `Dot` follows the weight's codes.
        unsafe {
            match self.weight.codes {
                Codes::Float(Float::F32) => self.with::<Dense<F32>>(level, first, last),
                Codes::Float(Float::F16) => self.with::<Dense<F16>>(level, first, last),
                Codes::Float(Float::BF16) => self.with::<Dense<BF16>>(level, first, last),
                Codes::E4M3 => self.with::<Exact<E4m3, false>>(level, first, last),
                Codes::Table4(_) => self.small::<Table>(level, precise, first, last),
                Codes::Int { bits: 2, .. } => self.small::<Bits<2>>(level, precise, first, last),
                Codes::Int { bits: 3, .. } => self.small::<Bits<3>>(level, precise, first, last),
                Codes::Int { bits: 4, .. } => self.large::<Bits<4>>(level, precise, first, last),
                Codes::Int { bits: 5, .. } => self.large::<Bits<5>>(level, precise, first, last),
                Codes::Int { bits: 6, .. } => self.small::<Bits<6>>(level, precise, first, last),
                Codes::Int { .. } => self.large::<Bits<8>>(level, precise, first, last),
            }
        }
    }

    /// Codes that exist with groups of 16 too.
    unsafe fn small<U: Unpack>(&self, level: Level, precise: bool, first: usize, last: usize) {
        // SAFETY: passed on.
        unsafe {
            match (precise, self.weight.group == 16) {
                (false, true) => self.with::<Int<U, true>>(level, first, last),
                (true, true) => self.with::<Exact<U, true>>(level, first, last),
                (_, false) => self.large::<U>(level, precise, first, last),
            }
        }
    }

    /// Codes with groups of at least 32.
    unsafe fn large<U: Unpack>(&self, level: Level, precise: bool, first: usize, last: usize) {
        // SAFETY: passed on.
        unsafe {
            if precise {
                self.with::<Exact<U, false>>(level, first, last)
            } else {
                self.with::<Int<U, false>>(level, first, last)
            }
        }
    }

    unsafe fn with<D: Dot>(&self, level: Level, first: usize, last: usize) {
        // SAFETY: passed on.
        unsafe {
            level.run(Range::<D> { product: self, first, last, dot: std::marker::PhantomData })
        }
    }
}

/// [`Product::run`] for one kind of [`Dot`].
struct Range<'a, D> {
    product: &'a Product<'a>,
    first: usize,
    last: usize,
    dot: std::marker::PhantomData<D>,
}

impl<D: Dot> Kernel for Range<'_, D> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        let rows = self.product.rows;
        for row in (0..rows).step_by(ROW_BLOCK) {
            let end = rows.min(row + ROW_BLOCK);
            for tile in self.first..self.last {
                // SAFETY: tiles below `last`, rows below `end`.
                unsafe { self.rows::<S>(tile, row, end) };
            }
        }
    }
}

impl<D: Dot> Range<'_, D> {
    /// Rows `row .. end` of one tile.
    ///
    /// # Safety
    /// As for [`Product::run`].
    #[inline(always)]
    unsafe fn rows<S: Isa>(&self, tile: usize, mut row: usize, end: usize) {
        let lanes = self.product.acts.lanes;
        while row < end {
            // rows of one panel; one row too many costs less than going twice
            let room = lanes - row % lanes;
            let left = (end - row).min(room);
            // SAFETY: rows of each call are rows or, in the last panel, room for rows. Sizes that a kind
            // or a machine has no use for are not even compiled.
            row += unsafe {
                match (left, room) {
                    (7.., 8) if const { D::SIZES & S::SIZES & 8 != 0 } => {
                        self.block::<S, 8>(tile, row, left)
                    }
                    (3.., 4..) if const { D::SIZES & S::SIZES & 4 != 0 } => {
                        self.block::<S, 4>(tile, row, left.min(4))
                    }
                    (2.., _) if const { D::SIZES & S::SIZES & 2 != 0 } => {
                        self.block::<S, 2>(tile, row, 2)
                    }
                    _ => self.block::<S, 1>(tile, row, 1),
                }
            };
        }
    }

    /// Rows `row .. row + M` of one tile, of which the first `rows` are stored. Gives `rows`.
    ///
    /// # Safety
    /// As for [`Product::run`].
    #[inline(always)]
    unsafe fn block<S: Isa, const M: usize>(&self, tile: usize, row: usize, rows: usize) -> usize {
        let p = self.product;
        // SAFETY: passed on.
        unsafe {
            let product = D::tile::<S, M>(p.weight, tile, &p.acts, row);
            self.finish::<S>(tile, row, &product[..rows]);
        }
        rows
    }

    /// What follows the product, for rows from `row` of one tile.
    ///
    /// # Safety
    /// As for [`Product::run`].
    #[inline(always)]
    unsafe fn finish<S: Isa>(&self, tile: usize, row: usize, product: &[S::F]) {
        let p = self.product;
        let (width, first) = (p.weight.rows, tile * LANES);
        let n = LANES.min(width - first);
        // SAFETY: outputs of this tile are 16, or fewer in the last; only those are touched.
        unsafe {
            for (m, &y) in product.iter().enumerate() {
                let at = (row + m) * width + first;
                let mut y = y;
                if let Some(bias) = p.bias {
                    y = S::add(y, load_some::<S>(bias.add(first), n));
                }
                match p.finish {
                    Finish::Store => {}
                    Finish::Add(other) => y = S::add(y, load_some::<S>(other.add(at), n)),
                    Finish::Activate(f) => y = activate::<S>(f, y),
                    Finish::Gate(unit) => {
                        let gate = load_some::<S>(p.out.add(at), n);
                        y = gated::<S>(unit, gate, y);
                    }
                }
                store_some::<S>(p.out.add(at), y, n);
            }
        }
    }
}
