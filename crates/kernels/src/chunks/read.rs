//! What a chunk's tokens read: of the state before the chunk, and of what tokens before them wrote.
//!
//! Version 1: a threadgroup makes all tokens of 64 columns of a head, 16 elements a thread.

use tessera_tile::prelude::*;

use super::{
    CHUNK, NO_CHUNK,
    block::{Columns, Operand, SIDE, THREADS, multiply_add, or_zero, stage, zeros},
    factor, factor_of, log_since_start, pairs,
};
use crate::{check, recurrence::group_of};

/// With the logarithms `l` and the factors `r` and `w` of a chunk's tokens, `L[t] = sum over i <= t of l[i]`:
///
/// ```text
/// y[t][p] = r[t] (exp(L[t]) sum over n of c[t][n] before[n][p]
///         + sum over s <= t of exp(L[t] - L[s]) w[s] products[t][s] x[s][p])  +  skip x[t][p]
/// ```
///
/// `factors` is `[chunks, heads, FACTORS, CHUNK]`, `products` `[chunks, groups, CHUNK, CHUNK]`, `c` `[rows, groups * state]`,
/// `before` `[chunks, heads, state, head_dim]`, `x` and `y` `[rows, heads * head_dim]`, `skip` `[heads]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct ChunkRead {
    /// Whether head `h` is of group `h % groups`, and not `h / (heads / groups)`.
    pub interleaved: bool,
    /// Whether there is a skip.
    pub skip: bool,
}

/// Scalars of [`ChunkRead`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct ChunkReadArgs {
    /// Heads.
    pub heads: u32,
    /// Groups of heads that share `c`.
    pub groups: u32,
    /// Elements of a head.
    pub head_dim: u32,
    /// Rows of its state.
    pub state: u32,
    /// Entries of the table `chunks`.
    pub chunks: u32,
}

/// Elements at a time.
const DEPTH: u32 = 16;

/// Distances of rows in shared memory.
const STRIDE: u32 = DEPTH + 4;
const MIXED: u32 = CHUNK + 4;

impl Spec for ChunkRead {
    type Args = ChunkReadArgs;

    fn threads(&self) -> u32 {
        THREADS
    }

    fn grid(&self, a: &ChunkReadArgs) -> [u32; 3] {
        [a.head_dim.div_ceil(SIDE), a.heads, a.chunks]
    }

    fn check(&self, a: &ChunkReadArgs) -> Result<(), String> {
        check::states(a.heads, a.groups, a.state, a.head_dim)
    }
}

#[kernel]
fn chunk_read(
    k: &ChunkRead,
    chunks: In<U32>,
    factors: In<F32>,
    products: In<F32>,
    c: In<F32>,
    before: In<F32>,
    x: In<F32>,
    #[when(k.skip)] skip: Option<In<F32>>,
    y: Out<F32>,
    a: Args<ChunkReadArgs>,
) {
    let (head, chunk) = (group(1), group(2));
    let first_column = group(0) * SIDE;
    let group = group_of(k.interleaved, head, a.heads, a.groups);
    let first = chunks.at(chunk);
    let logs = shared::<F32>("logs", CHUNK);
    let since = shared::<F32>("since", CHUNK);
    let mixed = shared::<F32>("mixed", CHUNK * MIXED);
    let readers = shared::<F32>("readers", CHUNK * STRIDE);
    let inputs = shared::<F32>("inputs", DEPTH * SIDE);
    if first != NO_CHUNK {
        let of = |which| factor_of(chunk * a.heads + head, which);
        if thread() < CHUNK {
            logs.set(thread(), factors.at(of(factor::LOG) + thread()));
        }
        barrier();
        if thread() < CHUNK {
            let read = factors.at(of(factor::READ) + thread());
            since.set(thread(), exp(log_since_start(logs, thread())) * read);
        }
        pairs(logs, |t, s, log| {
            let product = products.at(((chunk * a.groups + group) * CHUNK + t) * CHUNK + s);
            let ends = factors.at(of(factor::READ) + t) * factors.at(of(factor::WRITE) + s);
            mixed.set(t * MIXED + s, select(t >= s, exp(log) * ends * product, 0.0));
        });
        barrier();
        let c = Columns { of: c, group, groups: a.groups, width: a.state };
        let x = Columns { of: x, group: head, groups: a.heads, width: a.head_dim };
        let block = zeros();
        let columns = Operand::Depths(inputs);
        for at in (val(0)..CHUNK).step_by(DEPTH) {
            stage(inputs, DEPTH, SIDE, SIDE, |s, p| x.at(first + at + s, first_column + p));
            barrier();
            multiply_add(&block, Operand::Rows(mixed, MIXED), at, columns, DEPTH);
            barrier();
        }
        for at in (val(0)..a.state).step_by(DEPTH) {
            stage(readers, CHUNK, DEPTH, STRIDE, |t, n| c.at(first + t, at + n) * since.at(t));
            stage(inputs, DEPTH, SIDE, SIDE, |n, p| {
                let (n, p) = (at + n, first_column + p);
                let place = ((chunk * a.heads + head) * a.state + n) * a.head_dim + p;
                or_zero(before, (n < a.state) & (p < a.head_dim), place)
            });
            barrier();
            multiply_add(&block, Operand::Rows(readers, STRIDE), val(0), columns, DEPTH);
            barrier();
        }
        let skip = skip.map(|skip| skip.at(head));
        for (t, p, sum) in block.elements(Operand::Rows(mixed, MIXED), columns) {
            let p = first_column + p;
            if p < a.head_dim {
                let at = x.place(first + t, p);
                y.set(at, skip.map_or(sum, |skip| fma(skip, x.of.at(at), sum)));
            }
        }
    }
}
