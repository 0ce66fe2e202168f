//! Matrix times many vectors: the products of reading a prompt.
//!
//! Version 1: a threadgroup makes a block of vectors times a block of rows, by matrix tiles. Weights are taken apart into shared
//! memory, once for the whole block; what comes next is loaded while others still multiply.
//! Version 2: it ends as products of decoding do.

use tessera_tile::prelude::*;

use crate::{
    codes::{Matrix, Planes, STEP, check_product},
    end::{End, Part, parts, put},
    stage::{self as staging, Operand, PART, Scratch},
    tune::{Tunable, pairs, variants},
};

/// `y = x W^T + bias`, and what [`End`] makes of it; as [`Matvec`](crate::matvec::Matvec), but without a norm.
///
/// `x` is `[vectors, cols]`, `W` `[rows, cols]`, `bias` `[rows]`; results are `[vectors, rows of the part]`, those of a unit
/// `[vectors, rows / 2]`. A residual is `[vectors, rows]` and may be the result. Elements are rounded to `stage`, sums are of
/// f32; a vector's result depends on nothing but the vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Matmul {
    /// Packing of `W`.
    pub matrix: Matrix,
    /// Vectors of a threadgroup, a multiple of `16 * down`.
    pub vectors: u32,
    /// Results of each vector for a threadgroup, a multiple of `16 * across`.
    pub rows: u32,
    /// Simdgroups that divide the vectors.
    pub down: u32,
    /// Simdgroups that divide the results.
    pub across: u32,
    /// Blocks of 32 columns at once.
    pub steps: u32,
    /// Type of operands of tiles: F32 or F16.
    pub stage: Elem,
    /// Whether `cols` is not a multiple of 32.
    pub ragged: bool,
    /// Whether there is a bias.
    pub bias: bool,
    /// What becomes of the products.
    pub end: End,
}

/// Scalars of [`Matmul`].
#[derive(Debug, Clone, Copy, Default, tessera_tile::Args)]
pub struct MatmulArgs {
    /// Rows of `W`, all parts.
    pub rows: u32,
    /// Columns of `W`.
    pub cols: u32,
    /// Vectors.
    pub vectors: u32,
    /// Rows of the first part, if there are several.
    pub first: u32,
    /// Rows of the second part, if there are three.
    pub second: u32,
    /// Of a clipped unit: its steepness.
    pub alpha: f32,
    /// Of a clipped unit: largest magnitude.
    pub limit: f32,
}

impl Matmul {
    /// Columns at once.
    fn columns(&self) -> u32 {
        self.steps * STEP
    }

    /// Rows of `W` of a threadgroup.
    fn all_rows(&self) -> u32 {
        self.rows * self.end.halves()
    }

    /// Bytes of shared memory.
    fn bytes(&self) -> u32 {
        let operands = staging::bytes(self.stage, self.vectors + self.all_rows(), self.columns());
        operands + Scratch::len(self.down * self.across) * 4
    }

    fn geometry(&self) -> Result<(), String> {
        let &Self { vectors, rows, down, across, steps, .. } = self;
        let divides = |simdgroups: u32, all: u32| {
            simdgroups > 0 && all > 0 && all.is_multiple_of(simdgroups * TILE)
        };
        match () {
            () if !divides(down, vectors) || !divides(across, rows) || steps == 0 => Err(format!(
                "{down} x {across} simdgroups for {vectors} vectors and {rows} rows, {steps} steps"
            )),
            () if self.threads() > tessera_tile::check::MAX_THREADS => {
                Err(format!("{} threads", self.threads()))
            }
            () if self.bytes() as usize > tessera_tile::check::MAX_SHARED => {
                Err(format!("{} bytes of shared memory: take fewer at once", self.bytes()))
            }
            () => staging::check(self.stage),
        }
    }
}

impl Spec for Matmul {
    type Args = MatmulArgs;

    fn name(&self) -> String {
        let Self { matrix, vectors, rows, down, across, steps, stage, .. } = self;
        let ragged = if self.ragged { "_ragged" } else { "" };
        let bias = if self.bias { "_bias" } else { "" };
        let stage = format!("{stage:?}").to_lowercase();
        let (matrix, end) = (matrix.name(), self.end.name());
        format!(
            "matmul_{matrix}_n{vectors}_r{rows}_s{down}x{across}_c{steps}_{stage}{ragged}{bias}{end}"
        )
    }

    fn threads(&self) -> u32 {
        self.down * self.across * LANES
    }

    fn grid(&self, a: &MatmulArgs) -> [u32; 3] {
        // neighbours share the block of weights
        [a.vectors.div_ceil(self.vectors), (a.rows / self.end.halves()).div_ceil(self.rows), 1]
    }

    fn check(&self, a: &MatmulArgs) -> Result<(), String> {
        self.geometry()?;
        check_product(&[a.rows, a.vectors], a.cols, self.ragged)?;
        self.end.check(a.rows, a.first, a.second)
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
                [1, 2].map(|steps| Self { vectors, rows, down, across, steps, ..own })
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

#[kernel]
fn matmul(
    k: &Matmul,
    x: In<F32>,
    #[of(k.matrix)] w: Planes,
    #[when(k.bias)] bias: Option<In<F32>>,
    #[when(k.end == End::Residual)] residual: Option<In<F32>>,
    y: Out<F32>,
    #[when(k.end.parts() > 1)] second: Option<Out<F32>>,
    #[when(k.end.parts() > 2)] third: Option<Out<F32>>,
    a: Args<MatmulArgs>,
) {
    let (first_vector, first_row) = (group(0) * k.vectors, group(1) * k.rows);
    let vectors = Operand::new("vectors", k.stage, k.vectors, k.columns());
    let weights = Operand::new("weights", k.stage, k.all_rows(), k.columns());
    let scratch = Scratch::of(shared("scratch", Scratch::len(simdgroups())));
    let steps = div_ceil(a.cols, STEP);

    // the simdgroup's tiles; what a gate lets through lies below the gate, here as in the matrix
    let results = a.rows / k.end.halves();
    let (down, across) = (k.vectors / k.down, k.rows / k.across);
    let (tile_vector, tile_row) = (simdgroup() / k.across * down, simdgroup() % k.across * across);
    let tile_rows: Vec<_> = (0..k.end.halves() * across)
        .step_by(16)
        .map(|row| tile_row + (row / across * k.rows + row % across))
        .collect();
    let sums: Vec<Vec<_>> =
        (0..down / TILE).map(|_| tile_rows.iter().map(|_| Tile::sum(0.0)).collect()).collect();

    for block in (val(0u32)..steps).step_by(k.steps) {
        let some_vectors = load_vectors(k, x, first_vector, block, &a);
        let some_weights = load_weights(k, &w, first_row, block, &a);
        barrier();
        stage(&vectors, k.vectors * k.columns() / PART, &some_vectors);
        stage(&weights, k.all_rows() * k.steps, &some_weights);
        barrier();
        for column in (0..k.columns()).step_by(16) {
            let left = (0..down).step_by(16).map(|v| vectors.left(tile_vector + v, column));
            let left: Vec<_> = left.collect();
            let right = tile_rows.iter().map(|&row| weights.right_transposed(row, column));
            let right: Vec<_> = right.collect();
            for (left, sums) in left.iter().zip(&sums) {
                for (right, sum) in right.iter().zip(sums) {
                    sum.multiply_add(*left, *right);
                }
            }
        }
    }

    let parts = parts((y, second, third), results, a.first, a.second);
    let (place, part) = scratch.place();
    for (i, sums) in (0..).zip(&sums) {
        for j in 0..across / TILE {
            let vector = first_vector + tile_vector + place + i * TILE;
            let row = first_row + tile_row + part + j * TILE;
            let product = |half: u32| -> Vec<_> {
                let elements = scratch.elements(sums[(j + half * across / TILE) as usize]);
                let bias = |i| bias.map(|bias| bias.at(min(row + i, results - 1) + half * results));
                let with = |(i, x): (u32, Val<f32>)| bias(i).map_or(x, |bias| x + bias);
                (0..).zip(elements).map(with).collect()
            };
            let first = product(0);
            let values = match k.end.unit() {
                None => first,
                Some(unit) => {
                    let pairs = first.into_iter().zip(product(1));
                    pairs.map(|(gate, up)| unit.apply(Some(gate), up, a.alpha, a.limit)).collect()
                }
            };
            if vector < a.vectors {
                write(&parts, residual, vector, row, &values, scratch);
            }
        }
    }
}

/// Where in an operand loaded elements belong: row and column.
type Loaded = (Val<u32>, Val<u32>, Vec<Val<f32>>);

/// The thread's elements of the vectors, [`PART`] at a time; zeros beyond the last column.
fn load_vectors(
    k: &Matmul,
    x: In<F32>,
    first: Val<u32>,
    block: Val<u32>,
    a: &MatmulArgsVals,
) -> Vec<Loaded> {
    use tessera_tile::flow::Compare;
    let parts = k.columns() / PART;
    let load = |turn: u32| {
        let i = thread() + turn * threads();
        let (row, column) = (min(i / parts, k.vectors - 1), i % parts * PART);
        let of = min(first + row, a.vectors - 1) * a.cols;
        let from = block * STEP + column;
        let inside = |i: u32| (from + i).lt(a.cols);
        let values = if k.ragged {
            let one = |i| select(inside(i), x.at(of + select(inside(i), from + i, 0)), 0.0);
            (0..PART).map(one).collect()
        } else if k.steps > 1 {
            let at = of + select(inside(0), from, 0);
            let all = (0..PART / 4).flat_map(|i| x.load::<4>(at + i * 4));
            all.map(|x| select(inside(0), x, 0.0)).collect()
        } else {
            (0..PART / 4).flat_map(|i| x.load::<4>(of + from + i * 4)).collect()
        };
        (row, column, values)
    };
    (0..(k.vectors * parts).div_ceil(threads())).map(load).collect()
}

/// The thread's elements of the weights, [`STEP`] at a time. Beyond the last column they do not matter.
fn load_weights(
    k: &Matmul,
    w: &Planes,
    first: Val<u32>,
    block: Val<u32>,
    a: &MatmulArgsVals,
) -> Vec<Loaded> {
    let steps = div_ceil(a.cols, STEP);
    let results = a.rows / k.end.halves();
    let load = |turn: u32| {
        let i = thread() + turn * threads();
        let (row, step) = (min(i / k.steps, k.all_rows() - 1), i % k.steps);
        let from = match k.end.unit() {
            None => min(first + row, results - 1),
            Some(_) => min(first + row % k.rows, results - 1) + row / k.rows * results,
        };
        let block = min(block + step, steps - 1);
        (row, step * STEP, w.step(from, block, steps).values())
    };
    (0..(k.all_rows() * k.steps).div_ceil(threads())).map(load).collect()
}

/// Puts what was loaded, `count` pieces by all threads, in its place.
#[device]
fn stage(operand: &Operand, count: u32, loaded: &[Loaded]) {
    for (turn, (row, column, values)) in (0..).zip(loaded) {
        if thread() + turn * threads() < count {
            operand.put(*row, *column, values);
        }
    }
}

/// Writes [`PART`] neighbours of a vector's results, those that there are.
#[device]
fn write(
    parts: &[Part],
    residual: Option<In<F32>>,
    vector: Val<u32>,
    row: Val<u32>,
    values: &[Val<f32>],
    scratch: Scratch,
) {
    let (y, rows) = parts[0];
    if (row + PART <= rows) & ((rows | row) % 4 == 0) {
        let at = vector * rows + row;
        for (i, four) in (0u32..).step_by(4).zip(values.as_chunks::<4>().0) {
            let residual = residual.map(|residual| residual.load::<4>(at + i));
            let sum = |j: usize| residual.map_or(four[j], |residual| four[j] + residual[j]);
            y.store::<4>(at + i, std::array::from_fn(sum));
        }
    } else {
        if parts.len() > 1 {
            if row >= rows {
                write(&parts[1..], residual, vector, row - rows, values, scratch);
            } else {
                write_each(parts, residual, vector, row, values, scratch);
            }
        } else {
            write_each(parts, residual, vector, row, values, scratch);
        }
    }
}

/// As [`write`], one by one.
#[device]
fn write_each(
    parts: &[Part],
    residual: Option<In<F32>>,
    vector: Val<u32>,
    row: Val<u32>,
    values: &[Val<f32>],
    scratch: Scratch,
) {
    scratch.keep(values);
    let all = parts.iter().map(|part| part.1).reduce(|a, b| a + b).expect("a part");
    for i in val(0u32)..min(PART, all - min(row, all)) {
        let (value, row) = (scratch.element(i), row + i);
        // what is added to has one part
        let value = residual.map_or(value, |residual| value + residual.at(vector * all + row));
        put(parts, vector, row, value);
    }
}
