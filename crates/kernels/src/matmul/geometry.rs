//! Blocks of vectors and rows: those that do well, and those that are worth a try.

use tessera_tile::prelude::*;

use super::{Matmul, ahead};
use crate::{
    check::{self, ensure},
    codes::{Matrix, STEP},
    end::End,
    stage::{self, Scratch},
    tune::{Tunable, pairs, variants},
};

impl Matmul {
    /// For up to so many vectors: plain results, of whole blocks of columns, without a bias, in a geometry that does well
    /// where operands are staged as `stage`, measured on an H100 (F16). Whether the matrix is `long`, [`Matmul::is_long`]
    /// tells. [`Matmul::fitted`] makes sure that there is room.
    pub fn new(matrix: Matrix, stage: Elem, vectors: u32, long: bool) -> Self {
        let (vectors, rows, down, across, steps, depth) = match (stage, vectors) {
            (Elem::F16, ..=16) if !long => (16, 32, 1, 2, 4, 1),
            (Elem::F16, ..=64) => (32, 32, 2, 1, 2, 2),
            (Elem::F16, _) => (64, 64, 2, 2, 2, 1 + u32::from(long)),
            _ => (32, 32, 1, 2, 1, 1),
        };
        let (ragged, bias, end) = (false, false, End::Parts(1));
        Self { matrix, vectors, rows, down, across, steps, depth, stage, ragged, bias, end }
    }

    /// Whether a matrix has few rows and many columns: its threadgroups do not fill a device, and wait for weights.
    pub fn is_long(rows: u32, cols: u32) -> bool {
        rows <= 2048 && cols > 2048
    }

    /// As [`Matmul::new`], for tiles of `vectors` pairs of an expert, of which many are not full.
    pub fn of_experts(matrix: Matrix, stage: Elem, vectors: u32) -> Self {
        let (rows, steps) = if stage == Elem::F16 { (64, 2) } else { (32, 1) };
        let (down, across, depth) = (1, 2, 1);
        Self {
            vectors,
            rows,
            down,
            across,
            steps,
            depth,
            ..Self::new(matrix, stage, vectors, false)
        }
    }

    /// The same, or with weights that are not copied ahead and fewer columns at once, if there is no room.
    pub fn fitted(self) -> Self {
        let smaller = [self, Self { depth: 1, ..self }, Self { depth: 1, steps: 1, ..self }];
        smaller.into_iter().find(|kernel| kernel.geometry().is_ok()).unwrap_or(self)
    }

    /// Columns at once.
    pub(super) fn columns(&self) -> u32 {
        self.steps * STEP
    }

    /// Rows of `W` of a threadgroup.
    pub(super) fn all_rows(&self) -> u32 {
        self.rows * self.end.halves()
    }

    /// Bytes of shared memory.
    fn bytes(&self) -> u32 {
        let operands = stage::bytes(self.stage, self.vectors + self.all_rows(), self.columns());
        let copied = self.all_rows() * self.steps * self.matrix.step_bytes();
        let copied = if self.depth > 1 { self.depth * copied } else { 0 };
        operands + copied + Scratch::len(self.down * self.across) * 4
    }

    pub(crate) fn geometry(&self) -> Result<(), String> {
        let &Self { vectors, rows, down, across, steps, depth, .. } = self;
        let divides = |simdgroups: u32, all: u32| {
            simdgroups > 0 && all > 0 && all.is_multiple_of(simdgroups * TILE)
        };
        ensure!(
            divides(down, vectors) && divides(across, rows) && steps > 0,
            "{down} x {across} simdgroups for {vectors} vectors and {rows} rows, {steps} steps"
        );
        ensure!((1..=ahead::MOST).contains(&depth), "{depth} slots, not 1 to {}", ahead::MOST);
        stage::check(self.stage)?;
        check::fits(self.threads(), self.bytes())
    }
}

/// Tiles of sums of a simdgroup, at least and at most, in a tuned kernel: fewer use operands too seldom, more have no
/// registers.
const SUMS: std::ops::RangeInclusive<u32> = 2..=8;

impl Tunable for Matmul {
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        let blocks = pairs(&[16, 32, 64], &[32, 64, 128]);
        let of = move |(vectors, rows)| {
            let divided = pairs(&[1, 2], &[1, 2, 4]);
            divided.flat_map(move |(down, across)| {
                let staged = [(1, 1), (2, 1), (1, 2), (2, 2), (1, 3)];
                staged.map(|(steps, depth)| Self {
                    vectors,
                    rows,
                    down,
                    across,
                    steps,
                    depth,
                    ..own
                })
            })
        };
        let fits = |k: &Self| {
            let tiles = k.vectors * k.all_rows() / (TILE * TILE);
            k.geometry().is_ok() && SUMS.contains(&(tiles / (k.down * k.across)))
        };
        variants(own, blocks.flat_map(of).filter(fits))
    }

    fn same_bits(&self) -> bool {
        true
    }
}
