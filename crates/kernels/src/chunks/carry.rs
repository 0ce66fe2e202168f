//! What a chunk of a state space does to its state.
//!
//! Version 1: a threadgroup makes 64 x 64 elements of a head's, 16 a thread.

use tessera_tile::prelude::*;

use super::{
    CHUNK, NO_CHUNK,
    block::{Columns, Operand, SIDE, THREADS, multiply_add, stage, zeros},
    factor, factor_of,
};
use crate::{check, recurrence::rate, unit::softplus};

/// `carried[n][p] = sum over t of exp(L[end] - L[t]) d[t] b[t][n] x[t][p]`, where `L` is the sum of the logarithms of the
/// decays and `d` the steps, as [`Scan`](crate::scan::Scan) has them; and `factors`: the logarithm, 1, `d`.
///
/// Operands are those of `Scan`; `factors` is `[chunks, heads, FACTORS, CHUNK]`, `carried` `[chunks, heads, state, head_dim]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct ScanCarry {
    /// Whether `decay` is the logarithm of the rate, `A = -exp(w)`, and not `A` itself.
    pub log_decay: bool,
}

/// Scalars of [`ScanCarry`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct ScanCarryArgs {
    /// Heads.
    pub heads: u32,
    /// Groups of heads that share `b`.
    pub groups: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Rows of its state.
    pub state: u32,
    /// Entries of the table `chunks`.
    pub chunks: u32,
    /// Least step.
    pub least: f32,
    /// Greatest step.
    pub greatest: f32,
}

/// Tokens at a time.
const DEPTH: u32 = 32;

impl Spec for ScanCarry {
    type Args = ScanCarryArgs;

    fn threads(&self) -> u32 {
        THREADS
    }

    fn grid(&self, a: &ScanCarryArgs) -> [u32; 3] {
        [a.state.div_ceil(SIDE) * a.head_dim.div_ceil(SIDE), a.heads, a.chunks]
    }

    fn check(&self, a: &ScanCarryArgs) -> Result<(), String> {
        check::states(a.heads, a.groups, a.state, a.head_dim)
    }
}

#[kernel]
fn scan_carry(
    k: &ScanCarry,
    chunks: In<U32>,
    x: In<F32>,
    dt: In<F32>,
    b: In<F32>,
    decay: In<F32>,
    dt_bias: In<F32>,
    factors: Out<F32>,
    carried: Out<F32>,
    a: Args<ScanCarryArgs>,
) {
    let (head, chunk) = (group(1), group(2));
    let across = div_ceil(a.head_dim, SIDE);
    let (first_row, first_column) = (group(0) / across * SIDE, group(0) % across * SIDE);
    let first = chunks.at(chunk);
    let logs = shared::<F32>("logs", CHUNK);
    let left = shared::<F32>("left", CHUNK);
    let writers = shared("writers", DEPTH * SIDE);
    let inputs = shared("inputs", DEPTH * SIDE);
    if first != NO_CHUNK {
        let mut step = 0.0;
        if thread() < CHUNK {
            let given = dt.at((first + thread()) * a.heads + head);
            step = min(max(softplus(given + dt_bias.at(head)), a.least), a.greatest);
            let log = rate(k.log_decay, decay, head) * step;
            logs.set(thread(), log);
            if group(0) == 0 {
                let at = chunk * a.heads + head;
                factors.set(factor_of(at, factor::LOG) + thread(), log);
                factors.set(factor_of(at, factor::READ) + thread(), 1.0);
                factors.set(factor_of(at, factor::WRITE) + thread(), step);
            }
        }
        barrier();
        if thread() < CHUNK {
            let mut log = 0.0;
            for t in thread() + 1..CHUNK {
                log += logs.at(t);
            }
            left.set(thread(), exp(log) * step);
        }
        barrier();
        let block = zeros();
        let group = head / (a.heads / a.groups);
        let b = Columns { of: b, group, groups: a.groups, width: a.state };
        let x = Columns { of: x, group: head, groups: a.heads, width: a.head_dim };
        let (rows, columns) = (Operand::Depths(writers), Operand::Depths(inputs));
        for at in (val(0)..CHUNK).step_by(DEPTH) {
            stage(writers, DEPTH, SIDE, SIDE, |t, n| {
                b.at(first + at + t, first_row + n) * left.at(at + t)
            });
            stage(inputs, DEPTH, SIDE, SIDE, |t, p| x.at(first + at + t, first_column + p));
            barrier();
            multiply_add(&block, rows, val(0), columns, DEPTH);
            barrier();
        }
        for (n, p, sum) in block.elements(rows, columns) {
            let (n, p) = (first_row + n, first_column + p);
            if (n < a.state) & (p < a.head_dim) {
                carried.set(((chunk * a.heads + head) * a.state + n) * a.head_dim + p, sum);
            }
        }
    }
}
