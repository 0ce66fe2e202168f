//! Matrix times many vectors: the products of reading a prompt.
//!
//! Version 1: a threadgroup makes a block of vectors times a block of rows, by matrix tiles. Weights are taken apart into shared
//! memory, once for the whole block; what comes next is loaded while others still multiply.

use tessera_tile::prelude::*;

use crate::{
    codes::{Matrix, Planes, STEP},
    stage::{self, Operand, PART, Scratch},
};

/// `y = x W^T + bias`, and with `residual` `+ residual`.
///
/// `x` is `[vectors, cols]`, `W` `[rows, cols]`, `bias` `[rows]`, `y` and `residual` `[vectors, rows]`; `y` may be `residual`.
/// Elements are rounded to `stage`, sums are of f32; a vector's result depends on nothing but the vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Matmul {
    /// Packing of `W`.
    pub matrix: Matrix,
    /// Vectors of a threadgroup, a multiple of `16 * down`.
    pub vectors: u32,
    /// Rows of `W` of a threadgroup, a multiple of `16 * across`.
    pub rows: u32,
    /// Simdgroups that divide the vectors.
    pub down: u32,
    /// Simdgroups that divide the rows.
    pub across: u32,
    /// Blocks of 32 columns at once.
    pub steps: u32,
    /// Type of operands of tiles: F32 or F16.
    pub stage: Elem,
    /// Whether `cols` is not a multiple of 32.
    pub ragged: bool,
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether something is added.
    pub residual: bool,
}

/// Scalars of [`Matmul`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct MatmulArgs {
    /// Rows of `W`.
    pub rows: u32,
    /// Columns of `W`.
    pub cols: u32,
    /// Vectors.
    pub vectors: u32,
}

impl Matmul {
    /// Columns at once.
    fn columns(&self) -> u32 {
        self.steps * STEP
    }

    /// Bytes of shared memory.
    fn bytes(&self) -> u32 {
        let operands = stage::bytes(self.stage, self.vectors + self.rows, self.columns());
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
            () => stage::check(self.stage),
        }
    }
}

impl Spec for Matmul {
    type Args = MatmulArgs;

    fn name(&self) -> String {
        let Self { matrix, vectors, rows, down, across, steps, stage, .. } = self;
        let flags = [(self.ragged, "_ragged"), (self.bias, "_bias"), (self.residual, "_residual")];
        let flags: String = flags.iter().filter(|(set, _)| *set).map(|(_, name)| *name).collect();
        let stage = format!("{stage:?}").to_lowercase();
        let matrix = matrix.name();
        format!("matmul_{matrix}_n{vectors}_r{rows}_s{down}x{across}_c{steps}_{stage}{flags}")
    }

    fn threads(&self) -> u32 {
        self.down * self.across * LANES
    }

    fn grid(&self, a: &MatmulArgs) -> [u32; 3] {
        // neighbours share the block of weights
        [a.vectors.div_ceil(self.vectors), a.rows.div_ceil(self.rows), 1]
    }

    fn check(&self, a: &MatmulArgs) -> Result<(), String> {
        self.geometry()?;
        match () {
            () if a.rows.min(a.cols).min(a.vectors) == 0 => Err("an empty product".into()),
            () if !self.ragged && !a.cols.is_multiple_of(STEP) => {
                Err(format!("{} columns, not a multiple of {STEP}", a.cols))
            }
            () => Ok(()),
        }
    }
}

#[kernel]
fn matmul(
    k: &Matmul,
    x: In<F32>,
    #[of(k.matrix)] w: Planes,
    #[when(k.bias)] bias: Option<In<F32>>,
    #[when(k.residual)] residual: Option<In<F32>>,
    y: Out<F32>,
    a: Args<MatmulArgs>,
) {
    let (first_vector, first_row) = (group(0) * k.vectors, group(1) * k.rows);
    let vectors = Operand::new("vectors", k.stage, k.vectors, k.columns());
    let weights = Operand::new("weights", k.stage, k.rows, k.columns());
    let scratch = Scratch::of(shared("scratch", Scratch::len(simdgroups())));
    let steps = div_ceil(a.cols, STEP);

    // the simdgroup's tiles
    let (down, across) = (k.vectors / k.down, k.rows / k.across);
    let (tile_vector, tile_row) = (simdgroup() / k.across * down, simdgroup() % k.across * across);
    let sums: Vec<Vec<_>> =
        (0..down / TILE).map(|_| (0..across / TILE).map(|_| Tile::sum(0.0)).collect()).collect();

    for block in (val(0u32)..steps).step_by(k.steps) {
        let source = Source { first: first_vector, count: a.vectors, block, cols: a.cols };
        let some_vectors = load_vectors(k, x, &source);
        let source = Source { first: first_row, count: a.rows, block, cols: a.cols };
        let some_weights = load_weights(k, &w, &source);
        barrier();
        put(&vectors, k.vectors * k.columns() / PART, &some_vectors);
        put(&weights, k.rows * k.steps, &some_weights);
        barrier();
        for column in (0..k.columns()).step_by(16) {
            let left: Vec<_> = (0..down)
                .step_by(16)
                .map(|vector| vectors.left(tile_vector + vector, column))
                .collect();
            let right: Vec<_> = (0..across)
                .step_by(16)
                .map(|row| weights.right_transposed(tile_row + row, column))
                .collect();
            for (left, sums) in left.iter().zip(&sums) {
                for (right, sum) in right.iter().zip(sums) {
                    sum.multiply_add(*left, *right);
                }
            }
        }
    }

    let (place, part) = scratch.place();
    for (i, sums) in (0..).zip(&sums) {
        for (j, &sum) in (0..).zip(sums) {
            let elements = scratch.elements(sum);
            let vector = first_vector + tile_vector + place + i * TILE;
            let row = first_row + tile_row + part + j * TILE;
            if vector < a.vectors {
                write(&elements, row, vector * a.rows + row, a.rows, bias, residual, y);
            }
        }
    }
}

/// Rows of which some columns are loaded.
struct Source {
    first: Val<u32>,
    /// Rows there are; beyond, the last stands for all.
    count: Val<u32>,
    /// First block of 32 columns.
    block: Val<u32>,
    cols: Val<u32>,
}

impl Source {
    fn row(&self, row: Val<u32>) -> Val<u32> {
        min(self.first + row, self.count - 1)
    }
}

/// Where in an operand loaded elements belong: row and column.
type Loaded = (Val<u32>, Val<u32>, Vec<Val<f32>>);

/// The thread's elements of the vectors, [`PART`] at a time; zeros beyond the last column.
fn load_vectors(k: &Matmul, x: In<F32>, source: &Source) -> Vec<Loaded> {
    use tessera_tile::flow::Compare;
    let parts = k.columns() / PART;
    let load = |turn: u32| {
        let i = thread() + turn * threads();
        let (row, column) = (min(i / parts, k.vectors - 1), i % parts * PART);
        let of = source.row(row) * source.cols;
        let from = source.block * STEP + column;
        let inside = |i: u32| (from + i).lt(source.cols);
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
fn load_weights(k: &Matmul, w: &Planes, source: &Source) -> Vec<Loaded> {
    let steps = div_ceil(source.cols, STEP);
    let load = |turn: u32| {
        let i = thread() + turn * threads();
        let (row, step) = (min(i / k.steps, k.rows - 1), i % k.steps);
        let block = min(source.block + step, steps - 1);
        (row, step * STEP, w.step(source.row(row), block, steps).values())
    };
    (0..(k.rows * k.steps).div_ceil(threads())).map(load).collect()
}

/// Puts what was loaded, `count` pieces by all threads, in its place.
#[device]
fn put(operand: &Operand, count: u32, loaded: &[Loaded]) {
    for (turn, (row, column, values)) in (0..).zip(loaded) {
        if thread() + turn * threads() < count {
            operand.put(*row, *column, values);
        }
    }
}

/// Writes elements of a vector's result, to `at` and after, those of rows that there are.
#[device]
fn write(
    elements: &[Val<f32>],
    row: Val<u32>,
    at: Val<u32>,
    rows: Val<u32>,
    bias: Option<In<F32>>,
    residual: Option<In<F32>>,
    y: Out<F32>,
) {
    if (row + PART <= rows) & (rows % 4 == 0) {
        for (i, four) in (0u32..).step_by(4).zip(elements.as_chunks::<4>().0) {
            let bias = bias.map(|bias| bias.load::<4>(row + i));
            let residual = residual.map(|residual| residual.load::<4>(at + i));
            let result: [_; 4] = std::array::from_fn(|j| {
                let sum = bias.map_or(four[j], |bias| four[j] + bias[j]);
                residual.map_or(sum, |residual| sum + residual[j])
            });
            y.store(at + i, result);
        }
    } else {
        for (i, &element) in (0u32..).zip(elements) {
            if row + i < rows {
                let sum = bias.map_or(element, |bias| element + bias.at(row + i));
                y.set(at + i, residual.map_or(sum, |residual| sum + residual.at(at + i)));
            }
        }
    }
}
