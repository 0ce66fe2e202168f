//! Rotary embedding: the table of a step, and its application.
//!
//! Version 1: a thread a pair.

use tessera_tile::prelude::*;

use crate::check::ensure;

/// `[rows, 2 * pairs]`: cosines, then sines, of `position * frequency`, times a factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct RopeTable;

/// Scalars of [`RopeTable`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct RopeTableArgs {
    /// Rows of the step.
    pub rows: u32,
    /// Frequencies.
    pub pairs: u32,
    /// Factor.
    pub scale: f32,
}

impl Spec for RopeTable {
    type Args = RopeTableArgs;

    fn threads(&self) -> u32 {
        64
    }

    fn grid(&self, a: &RopeTableArgs) -> [u32; 3] {
        [a.pairs.div_ceil(64), a.rows, 1]
    }

    fn check(&self, _: &RopeTableArgs) -> Result<(), String> {
        Ok(())
    }
}

#[kernel]
fn rope_table(
    _k: &RopeTable,
    positions: In<U32>,
    frequencies: In<F32>,
    table: Out<F32>,
    a: Args<RopeTableArgs>,
) {
    let (row, pair) = (group(1), group(0) * threads() + thread());
    if pair < a.pairs {
        let angle = positions.at(row).f32() * frequencies.at(pair);
        let first = row * a.pairs * 2 + pair;
        table.set(first, cos(angle) * a.scale);
        table.set(first + a.pairs, sin(angle) * a.scale);
    }
}

/// Turns the first `2 * pairs` elements of each head, element `i` with `i + pairs`; the others stay. `y` may be `x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Rope;

/// Scalars of [`Rope`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct RopeArgs {
    /// Rows of the step.
    pub rows: u32,
    /// Heads of a row.
    pub heads: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Pairs of a head that turn.
    pub pairs: u32,
}

impl RopeArgs {
    /// What a thread makes is a pair, or an element that stays: so many for each head.
    fn parts(&self) -> u32 {
        self.head_dim - self.pairs
    }
}

impl Spec for Rope {
    type Args = RopeArgs;

    fn threads(&self) -> u32 {
        64
    }

    fn grid(&self, a: &RopeArgs) -> [u32; 3] {
        [(a.heads * a.parts()).div_ceil(64), a.rows, 1]
    }

    fn check(&self, a: &RopeArgs) -> Result<(), String> {
        ensure!(2 * a.pairs <= a.head_dim, "{} pairs in a head of {}", a.pairs, a.head_dim);
        Ok(())
    }
}

#[kernel]
fn rope(_k: &Rope, x: In<F32>, table: In<F32>, y: Out<F32>, a: Args<RopeArgs>) {
    let row = group(1);
    let parts = a.head_dim - a.pairs;
    let i = group(0) * threads() + thread();
    if i < a.heads * parts {
        let (head, part) = (i / parts, i % parts);
        let first = (row * a.heads + head) * a.head_dim + part;
        let second = first + a.pairs;
        if part < a.pairs {
            let angle = row * a.pairs * 2 + part;
            let (c, s) = (table.at(angle), table.at(angle + a.pairs));
            let (u, v) = (x.at(first), x.at(second));
            y.set(first, u * c - v * s);
            y.set(second, v * c + u * s);
        } else {
            y.set(second, x.at(second));
        }
    }
}
