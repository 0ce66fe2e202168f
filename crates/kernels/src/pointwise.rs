//! Element by element: gated units, activations, sums and products.
//!
//! Version 1: a thread four elements of a row.

use tessera_tile::prelude::*;

use crate::{check::ensure, unit::Unit};

/// What is done to elements `a` and `b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub enum Op {
    /// A unit: `a` is its gate and `b` what it lets through; of one without a gate, `a` is its input.
    Unit(Unit),
    /// `a + b`.
    Add,
    /// `a * b`.
    Mul,
    /// `a * b`, where `b` has one element a row.
    MulByOne,
    /// `a * factor`.
    Scale,
    /// `factor * tanh(a / factor)`.
    Softcap,
}

impl Op {
    /// Whether there is a second operand.
    pub fn has_two(self) -> bool {
        match self {
            Self::Unit(unit) => unit.is_gated(),
            Self::Add | Self::Mul | Self::MulByOne => true,
            Self::Scale | Self::Softcap => false,
        }
    }
}

/// `y = op(a, b)`, all `[rows, width]`. `y` may be `a` or `b` (but not the `b` of [`Op::MulByOne`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Pointwise {
    /// What is done.
    pub op: Op,
}

/// Scalars of [`Pointwise`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct PointwiseArgs {
    /// Rows.
    pub rows: u32,
    /// Elements of a row.
    pub width: u32,
    /// Of [`Op::Scale`] and [`Op::Softcap`]; of a clipped unit, its steepness.
    pub factor: f32,
    /// Largest magnitude of a clipped unit.
    pub limit: f32,
}

/// Elements of a thread.
const EACH: u32 = 4;

impl Spec for Pointwise {
    type Args = PointwiseArgs;

    fn threads(&self) -> u32 {
        64
    }

    fn grid(&self, a: &PointwiseArgs) -> [u32; 3] {
        [a.width.div_ceil(64 * EACH), a.rows, 1]
    }

    fn check(&self, a: &PointwiseArgs) -> Result<(), String> {
        ensure!(self.op != Op::Softcap || a.factor != 0.0, "a cap of 0");
        Ok(())
    }
}

#[kernel]
fn pointwise(
    k: &Pointwise,
    a: In<F32>,
    #[when(k.op.has_two())] b: Option<In<F32>>,
    y: Out<F32>,
    args: Args<PointwiseArgs>,
) {
    let row = group(1);
    for j in 0..EACH {
        // neighbouring threads take neighbouring elements
        let i = (group(0) * EACH + j) * threads() + thread();
        if i < args.width {
            let at = row * args.width + i;
            let other = b.map(|b| b.at(if matches!(k.op, Op::MulByOne) { row } else { at }));
            y.set(at, element(k.op, a.at(at), other, args.factor, args.limit));
        }
    }
}

fn element(
    op: Op,
    a: Val<f32>,
    b: Option<Val<f32>>,
    factor: Val<f32>,
    limit: Val<f32>,
) -> Val<f32> {
    match (op, b) {
        (Op::Unit(unit), Some(b)) => unit.apply(Some(a), b, factor, limit),
        (Op::Unit(unit), None) => unit.apply(None, a, factor, limit),
        (Op::Add, Some(b)) => a + b,
        (Op::Mul | Op::MulByOne, Some(b)) => a * b,
        (Op::Scale, _) => a * factor,
        (Op::Softcap, _) => factor * tanh(a / factor),
        (Op::Add | Op::Mul | Op::MulByOne, None) => unreachable!("two operands"),
    }
}
