//! What becomes of columns: products with elements of an input, or the matrix's elements themselves.

use tessera_quant::Codes;
use tessera_tile::prelude::*;

use super::{Group, Matrix, Packed, Planes, STEP};

/// [`STEP`] columns of a row: values of the codes, and what becomes of them.
pub struct Step {
    /// Value of each code, without its zero.
    pub values: Vec<Val<f32>>,
    /// `(scale, bias)` of each group of the step, in equal parts; empty for plain floats.
    pub groups: Vec<Group>,
}

impl Matrix {
    /// What elements of an input are multiplied by, those of columns 0 to 3 modulo 4, before [`Planes::product`]: its codes
    /// are the greater by so much.
    pub fn factors(&self) -> [f32; 4] {
        match self.form.codes {
            Codes::Int { bits: 4, .. } => [1.0, 1.0 / 16.0, 1.0 / 256.0, 1.0 / 4096.0],
            _ => [1.0; 4],
        }
    }
}

impl Planes {
    /// Reads columns `32 * block ..` of row `row`. `steps` is a row's number of blocks.
    pub fn step(&self, row: Val<u32>, block: Val<u32>, steps: Val<u32>) -> Step {
        self.unpack(self.read(row, block, steps))
    }

    /// Values of what was read.
    pub(super) fn unpack(&self, packed: Packed) -> Step {
        let Packed { codes, groups } = packed;
        let values = match codes {
            Ok(words) => (0..STEP).map(|i| self.value(&words, i)).collect(),
            Err(values) => values,
        };
        Step { values, groups }
    }

    /// The product of a step with 32 elements that have been multiplied by [`Matrix::factors`]; `total` is the sum of the
    /// elements themselves.
    pub fn product(&self, packed: &Packed, x: &[Val<f32>], total: Val<f32>) -> Val<f32> {
        let values: Vec<Val<f32>> = match &packed.codes {
            Err(values) => values.clone(),
            Ok(words) if self.matrix.factors()[1] != 1.0 => {
                words.iter().flat_map(|&word| masked(word)).collect()
            }
            Ok(words) => (0..STEP).map(|i| self.value(words, i)).collect(),
        };
        dot(&values, &packed.groups, x, Some(total))
    }
}

impl Step {
    /// The product with as many elements.
    pub fn dot(&self, x: &[Val<f32>]) -> Val<f32> {
        dot(&self.values, &self.groups, x, None)
    }

    /// The elements themselves.
    pub fn values(&self) -> Vec<Val<f32>> {
        if self.groups.is_empty() {
            return self.values.clone();
        }
        let size = self.values.len() / self.groups.len();
        let groups = self.values.chunks(size).zip(&self.groups);
        groups
            .flat_map(|(values, &(scale, bias))| {
                values.iter().map(move |&value| match bias {
                    Some(bias) => fma(value, scale, bias),
                    None => value * scale,
                })
            })
            .collect()
    }
}

/// The product of a step with as many elements. `total` is the sum of these, where it is at hand.
fn dot(values: &[Val<f32>], groups: &[Group], x: &[Val<f32>], total: Option<Val<f32>>) -> Val<f32> {
    let sum = |from: usize, to: usize| {
        let mut pairs = values[from..to].iter().zip(&x[from..to]);
        let (&w, &x) = pairs.next().expect("a step is not empty");
        pairs.fold(w * x, |sum, (&w, &x)| fma(w, x, sum))
    };
    if groups.is_empty() {
        return sum(0, x.len());
    }
    let total = total.filter(|_| groups.len() == 1);
    let size = x.len() / groups.len();
    let parts = groups.iter().enumerate().map(|(g, &(scale, bias))| {
        let (from, to) = (g * size, (g + 1) * size);
        let scaled = sum(from, to) * scale;
        let added = || x[from..to].iter().copied().reduce(|a, b| a + b);
        bias.map_or(scaled, |bias| {
            fma(total.or_else(added).expect("a group is not empty"), bias, scaled)
        })
    });
    parts.reduce(|a, b| a + b).expect("a step has groups")
}

/// The eight codes of a word of 4-bit codes, each times 1, 16, 256 or 4096: what stands in a float's lower bits.
fn masked(word: Val<u32>) -> [Val<f32>; 8] {
    let halves = [word, word >> 16];
    std::array::from_fn(|i| {
        let bits = halves[i / 4] & (0xf << (4 * (i % 4)));
        (bits | WHOLE.to_bits()).as_float() - WHOLE
    })
}

/// Above it floats are whole numbers, and their lower bits those of the number itself.
const WHOLE: f32 = 8_388_608.0;
