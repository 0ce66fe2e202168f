//! Sums become results: biases, units, residuals, and the parts that results go to.

use tessera_tile::prelude::*;

use super::{Source, multiply::Sums};
use crate::{
    end::{Part, put},
    stage::{PART, Scratch},
};

/// Where results go, and what is added to them.
pub(crate) struct Results {
    pub parts: Vec<Part>,
    pub bias: Option<In<F32>>,
    pub residual: Option<In<F32>>,
}

/// What writes a simdgroup's results.
pub(super) struct Writer<'a> {
    pub source: &'a Source<'a>,
    pub to: &'a Results,
    pub scratch: Scratch,
}

impl Writer<'_> {
    /// Writes all.
    #[device]
    pub fn write_sums(&self, sums: &Sums) {
        let (k, a) = (self.source.k, self.source.a);
        let across = k.rows / k.across / TILE;
        let (place, part) = self.scratch.place();
        for (i, tiles) in (0..).zip(&sums.tiles) {
            let (vector, there) = self.source.vectors.output(sums.vector + place + i * TILE);
            for j in 0..across {
                let row = self.source.first + sums.row + part + j * TILE;
                let product =
                    |half: u32| self.product(tiles[(j + half * across) as usize], row, half);
                let halves: Vec<_> = (0..k.end.halves()).map(product).collect();
                let result =
                    |i: usize| k.end.result(|half| halves[half as usize][i], a.alpha, a.limit);
                let values: Vec<_> = (0..PART as usize).map(result).collect();
                if there {
                    self.write(&self.to.parts, vector, row, &values);
                }
            }
        }
    }

    /// The lane's elements of a sum, with their biases: of a gate's rows, or of those that it lets through.
    fn product(&self, sum: Tile, row: Val<u32>, half: u32) -> Vec<Val<f32>> {
        let source = self.source;
        let results = source.a.rows / source.k.end.halves();
        let elements = self.scratch.elements(sum);
        let at = |i: u32| source.base + min(row + i, results - 1) + half * results;
        let bias = |i| self.to.bias.map(|bias| bias.at(at(i)));
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
                let residual = self.to.residual.map(|residual| residual.load::<4>(at + i));
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
            let residual = self.to.residual.map(|residual| residual.at(vector * all + row));
            put(parts, vector, row, residual.map_or(value, |residual| value + residual));
        }
    }
}
