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

/// Writes the simdgroup's results.
#[device]
pub(super) fn write(source: &Source<'_>, sums: &Sums, to: &Results, scratch: Scratch) {
    let (k, a) = (source.k, source.a);
    let across = k.rows / k.across / TILE;
    let (place, part) = scratch.place();
    for (i, tiles) in (0..).zip(&sums.tiles) {
        let (vector, there) = source.vectors.output(sums.vector + place + i * TILE);
        for j in 0..across {
            let row = source.first + sums.row + part + j * TILE;
            let halves = (0..k.end.halves()).map(|half| {
                let sum = tiles[(j + half * across) as usize];
                to.product(source, scratch.elements(sum), row, half)
            });
            let halves: Vec<_> = halves.collect();
            let result = |i: usize| k.end.result(|half| halves[half as usize][i], a.alpha, a.limit);
            let values: Vec<_> = (0..PART as usize).map(result).collect();
            if there {
                to.write(&to.parts, vector, row, &values, scratch);
            }
        }
    }
}

impl Results {
    /// The lane's elements of a sum, with their biases: of a gate's rows, or of those that it lets through.
    fn product(
        &self,
        source: &Source<'_>,
        elements: Vec<Val<f32>>,
        row: Val<u32>,
        half: u32,
    ) -> Vec<Val<f32>> {
        let results = source.a.rows / source.k.end.halves();
        let at = |i: u32| source.base + min(row + i, results - 1) + half * results;
        let bias = |i| self.bias.map(|bias| bias.at(at(i)));
        let with = |(i, x): (u32, Val<f32>)| bias(i).map_or(x, |bias| x + bias);
        (0..).zip(elements).map(with).collect()
    }

    /// Writes [`PART`] neighbours of a vector's results to `parts`, those that there are.
    #[device]
    fn write(
        &self,
        parts: &[Part],
        vector: Val<u32>,
        row: Val<u32>,
        values: &[Val<f32>],
        scratch: Scratch,
    ) {
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
                    self.write(&parts[1..], vector, row - rows, values, scratch);
                } else {
                    self.write_each(parts, vector, row, values, scratch);
                }
            } else {
                self.write_each(parts, vector, row, values, scratch);
            }
        }
    }

    /// As [`write`](Self::write), one by one.
    #[device]
    fn write_each(
        &self,
        parts: &[Part],
        vector: Val<u32>,
        row: Val<u32>,
        values: &[Val<f32>],
        scratch: Scratch,
    ) {
        let all = parts.iter().map(|part| part.1).reduce(|a, b| a + b).expect("a part");
        scratch.keep(values);
        for i in val(0u32)..min(PART, all - min(row, all)) {
            let (value, row) = (scratch.element(i), row + i);
            // what is added to has one part
            let residual = self.residual.map(|residual| residual.at(vector * all + row));
            put(parts, vector, row, residual.map_or(value, |residual| value + residual));
        }
    }
}
