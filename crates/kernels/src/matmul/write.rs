//! Sums become results: biases, units, residuals, and the parts that results go to.

use tessera_tile::prelude::*;

use super::{Matmul, MatmulArgsVals, multiply::Sums};
use crate::{
    end::{Part, put},
    stage::{PART, Scratch},
};

/// Where results go, and what is added to them.
pub(super) struct Results<'a> {
    pub parts: Vec<Part>,
    pub bias: Option<In<F32>>,
    pub residual: Option<In<F32>>,
    pub scratch: Scratch,
    pub a: &'a MatmulArgsVals,
}

/// Writes the simdgroup's results; `first` are the first vector and the first result of the threadgroup's block.
#[device]
pub(super) fn write(k: &Matmul, sums: &Sums, first: (Val<u32>, Val<u32>), to: &Results<'_>) {
    let across = k.rows / k.across / TILE;
    let (place, part) = to.scratch.place();
    for (i, tiles) in (0..).zip(&sums.tiles) {
        for j in 0..across {
            let vector = first.0 + sums.vector + place + i * TILE;
            let row = first.1 + sums.row + part + j * TILE;
            let product = |half: u32| to.product(k, tiles[(j + half * across) as usize], row, half);
            let values = match k.end.unit() {
                None => product(0),
                Some(unit) => {
                    let pairs = product(0).into_iter().zip(product(1));
                    let apply = |(gate, up)| unit.apply(Some(gate), up, to.a.alpha, to.a.limit);
                    pairs.map(apply).collect()
                }
            };
            if vector < to.a.vectors {
                to.write(&to.parts, vector, row, &values);
            }
        }
    }
}

impl Results<'_> {
    /// The lane's elements of a sum, with their biases: of a gate's rows, or of those that it lets through.
    fn product(&self, k: &Matmul, sum: Tile, row: Val<u32>, half: u32) -> Vec<Val<f32>> {
        let results = self.a.rows / k.end.halves();
        let elements = self.scratch.elements(sum);
        let bias = |i| self.bias.map(|bias| bias.at(min(row + i, results - 1) + half * results));
        let with = |(i, x): (u32, Val<f32>)| bias(i).map_or(x, |bias| x + bias);
        (0..).zip(elements).map(with).collect()
    }

    /// Writes [`PART`] neighbours of a vector's results to `parts`, those that there are.
    #[device]
    fn write(&self, parts: &[Part], vector: Val<u32>, row: Val<u32>, values: &[Val<f32>]) {
        let (y, rows) = parts[0];
        if (row + PART <= rows) & ((rows | row) % 4 == 0) {
            let at = vector * rows + row;
            for (i, four) in (0u32..).step_by(4).zip(values.as_chunks::<4>().0) {
                let residual = self.residual.map(|residual| residual.load::<4>(at + i));
                let sum = |j: usize| residual.map_or(four[j], |residual| four[j] + residual[j]);
                y.store::<4>(at + i, std::array::from_fn(sum));
            }
        } else {
            if parts.len() > 1 {
                if row >= rows {
                    self.write(&parts[1..], vector, row - rows, values);
                } else {
                    self.write_each(parts, vector, row, values);
                }
            } else {
                self.write_each(parts, vector, row, values);
            }
        }
    }

    /// As [`write`](Self::write), one by one.
    #[device]
    fn write_each(&self, parts: &[Part], vector: Val<u32>, row: Val<u32>, values: &[Val<f32>]) {
        let all = parts.iter().map(|part| part.1).reduce(|a, b| a + b).expect("a part");
        self.scratch.keep(values);
        for i in val(0u32)..min(PART, all - min(row, all)) {
            let (value, row) = (self.scratch.element(i), row + i);
            // what is added to has one part
            let residual = self.residual.map(|residual| residual.at(vector * all + row));
            put(parts, vector, row, residual.map_or(value, |residual| value + residual));
        }
    }
}
