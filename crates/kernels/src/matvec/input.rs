//! The input of decoding's products, in shared memory.

use tessera_tile::{flow::Compare, prelude::*};

use super::{Matvec, MatvecArgs};
use crate::codes::STEP;

/// Vectors of four elements of a step.
pub(super) const QUADS: u32 = STEP / 4;

impl Matvec {
    /// From one quad of a block to the next, in quads: neighbouring blocks lie side by side, and neighbouring quads in
    /// different banks.
    fn stride(&self) -> u32 {
        self.blocks + 1
    }
}

/// The input of a threadgroup.
pub(super) struct Input<'a> {
    pub k: &'a Matvec,
    pub x: In<F32>,
    pub norm: Option<In<F32>>,
    /// First vector.
    pub first: Val<u32>,
    pub shelf: Shared<F32>,
    pub a: &'a Args<MatvecArgs>,
}

pub(super) fn shelf(k: &Matvec) -> Shared<F32> {
    shared("input", k.batch * QUADS * k.stride() * 4)
}

/// Puts the blocks of a turn into shared memory, times the norm's weights and what [`Planes::product`] wants; zeros
/// beyond the end. Adds to the sums of squares.
#[device]
pub(super) fn stage(input: &Input<'_>, turn: u32, squares: &[Var<f32>]) {
    let (k, a) = (input.k, input.a);
    let factors = k.matrix.factors();
    // all loads, then all stores
    let load = |v: u32, i: u32| {
        let from = min(input.first + v, a.vectors - 1) * a.cols;
        let quad_of = thread() + i * threads();
        let column = quad_of * 4 + turn * k.blocks * STEP;
        let four = quad(k.ragged, input.x, from, column, a.cols);
        let weights = input.norm.map(|norm| quad(k.ragged, norm, val(0), column, a.cols));
        (quad_of, four, weights)
    };
    let each = k.blocks * QUADS / threads();
    let loaded: Vec<Vec<_>> =
        (0..k.batch).map(|v| (0..each).map(|i| load(v, i)).collect()).collect();
    for (v, loaded) in (0..).zip(&loaded) {
        for (quad_of, four, weights) in loaded {
            if weights.is_some() {
                let squares = &squares[v as usize];
                *squares = four.iter().fold(squares.get(), |sum, &x| fma(x, x, sum));
            }
            let scaled: [_; 4] = std::array::from_fn(|j| {
                let x = weights.map_or(four[j], |w| four[j] * (w[j] + a.offset));
                if factors[j] == 1.0 { x } else { x * factors[j] }
            });
            let place = (*quad_of % QUADS + v * QUADS) * k.stride() + *quad_of / QUADS;
            input.shelf.store(place * 4, scaled);
        }
    }
}

/// Four elements from `column` on of the vector that begins at `from`; zeros beyond its end.
#[device]
fn quad(
    ragged: bool,
    x: In<F32>,
    from: Val<u32>,
    column: Val<u32>,
    cols: Val<u32>,
) -> [Val<f32>; 4] {
    if ragged {
        std::array::from_fn(|j| {
            let inside = Compare::lt(column + j as u32, cols);
            select(inside, x.at(select(inside, from + column + j as u32, from)), 0.0)
        })
    } else {
        let inside = Compare::lt(column, cols);
        let four = x.load::<4>(select(inside, from + column, from));
        four.map(|x| select(inside, x, 0.0))
    }
}

impl Input<'_> {
    /// The elements of a block, as they lie in shared memory, and their sum.
    pub fn elements(&self, v: u32, place: Val<u32>) -> (Vec<Val<f32>>, Val<f32>) {
        let factors = self.k.matrix.factors();
        let read = |q: u32| self.shelf.load::<4>((place + (q + v * QUADS) * self.k.stride()) * 4);
        let elements: Vec<_> = (0..QUADS).flat_map(read).collect();
        let mut parts = elements.iter().zip(factors.iter().cycle());
        let (&first, _) = parts.next().expect("a block is not empty");
        let total = parts.fold(first, |sum, (&x, &factor)| match factor {
            1.0 => sum + x,
            _ => fma(x, 1.0 / factor, sum),
        });
        (elements, total)
    }
}
