//! Matrix times a few vectors: the products of decoding.
//!
//! Version 1: a simdgroup makes `rows` rows, its lanes taking 32 columns each at a time; each weight is read once for
//! `batch` vectors.

use tessera_tile::prelude::*;

use crate::codes::{Matrix, Planes, STEP};

/// `y = x W^T + bias`, and with `residual` `+ residual`.
///
/// `x` is `[batch rows, cols]`, `W` `[rows, cols]`, `bias` `[rows]`, `y` and `residual` `[batch rows, rows]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Matvec {
    /// Packing of `W`.
    pub matrix: Matrix,
    /// Rows of `W` for a simdgroup.
    pub rows: u32,
    /// Simdgroups of a threadgroup.
    pub simdgroups: u32,
    /// Vectors at once.
    pub batch: u32,
    /// Whether `cols` is not a multiple of 32.
    pub ragged: bool,
    /// Whether there is a bias.
    pub bias: bool,
    /// Whether something is added.
    pub residual: bool,
}

/// Scalars of [`Matvec`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct MatvecArgs {
    /// Rows of `W`.
    pub rows: u32,
    /// Columns of `W`.
    pub cols: u32,
    /// Vectors.
    pub vectors: u32,
}

impl Spec for Matvec {
    type Args = MatvecArgs;

    fn name(&self) -> String {
        let flag = |set: bool, name: &'static str| if set { name } else { "" };
        format!(
            "matvec_{}_r{}_s{}_n{}{}{}{}",
            self.matrix.name(),
            self.rows,
            self.simdgroups,
            self.batch,
            flag(self.ragged, "_ragged"),
            flag(self.bias, "_bias"),
            flag(self.residual, "_residual"),
        )
    }

    fn threads(&self) -> u32 {
        self.simdgroups * LANES
    }

    fn grid(&self, a: &MatvecArgs) -> [u32; 3] {
        let rows = a.rows.div_ceil(self.rows * self.simdgroups);
        [rows, a.vectors.div_ceil(self.batch), 1]
    }

    fn check(&self, a: &MatvecArgs) -> Result<(), String> {
        if a.rows == 0 || a.cols == 0 || a.vectors == 0 {
            return Err("an empty product".into());
        }
        if !self.ragged && !a.cols.is_multiple_of(STEP) {
            return Err(format!("{} columns, not a multiple of {STEP}", a.cols));
        }
        Ok(())
    }
}

#[kernel]
fn matvec(
    k: &Matvec,
    x: In<F32>,
    #[of(k.matrix)] w: Planes,
    #[when(k.bias)] bias: Option<In<F32>>,
    #[when(k.residual)] residual: Option<In<F32>>,
    y: Out<F32>,
    a: Args<MatvecArgs>,
) {
    let first_row = (group(0) * simdgroups() + simdgroup()) * k.rows;
    let first_vector = group(1) * k.batch;
    let rows: Vec<_> = (0..k.rows).map(|r| min(first_row + r, a.rows - 1)).collect();
    let vectors: Vec<_> = (0..k.batch).map(|v| min(first_vector + v, a.vectors - 1)).collect();
    let steps = div_ceil(a.cols, STEP);
    let mut sums = vec![vec![0.0; k.batch as usize]; k.rows as usize];
    for block in (lane()..steps).step_by(LANES) {
        let xs: Vec<_> = vectors.iter().map(|&v| columns(k.ragged, x, v, block, a.cols)).collect();
        for r in 0..k.rows as usize {
            let step = w.step(rows[r], block, steps);
            for v in 0..k.batch as usize {
                sums[r][v] += dot(&step, &xs[v]);
            }
        }
    }
    for r in 0..k.rows as usize {
        for v in 0..k.batch as usize {
            let sum = simd_sum(sums[r][v]);
            let (row, vector) = (first_row + r as u32, first_vector + v as u32);
            if (lane() == 0) & (row < a.rows) & (vector < a.vectors) {
                let at = vector * a.rows + row;
                let sum = bias.map_or(sum, |bias| sum + bias.at(row));
                y.set(at, residual.map_or(sum, |residual| sum + residual.at(at)));
            }
        }
    }
}

/// [`STEP`] elements of vector `v`, zeros beyond its end.
pub(crate) fn columns(
    ragged: bool,
    x: In<F32>,
    v: Val<u32>,
    block: Val<u32>,
    cols: Val<u32>,
) -> Vec<Val<f32>> {
    let first = v * cols + block * STEP;
    if !ragged {
        return (0..STEP / 4).flat_map(|i| x.load::<4>(first + i * 4)).collect();
    }
    let here = |i: u32| tessera_tile::flow::Compare::lt(block * STEP + i, cols);
    (0..STEP)
        .map(|i| {
            let inside = here(i);
            select(inside, x.at(select(inside, first + i, first)), 0.0)
        })
        .collect()
}

/// The product of a step with as many elements.
pub(crate) fn dot(step: &crate::codes::Step, x: &[Val<f32>]) -> Val<f32> {
    let sum = |from: usize, to: usize| {
        let products = step.values[from..to].iter().zip(&x[from..to]);
        let mut products = products.map(|(&w, &x)| (w, x));
        let (w, x) = products.next().expect("a step is not empty");
        products.fold(w * x, |sum, (w, x)| fma(w, x, sum))
    };
    if step.groups.is_empty() {
        return sum(0, x.len());
    }
    let size = x.len() / step.groups.len();
    let parts = step.groups.iter().enumerate().map(|(g, &(scale, bias))| {
        let (from, to) = (g * size, (g + 1) * size);
        let scaled = sum(from, to) * scale;
        bias.map_or(scaled, |bias| {
            let total = x[from..to].iter().copied().reduce(|a, b| a + b);
            fma(total.expect("a group is not empty"), bias, scaled)
        })
    });
    parts.reduce(|a, b| a + b).expect("a step has groups")
}
