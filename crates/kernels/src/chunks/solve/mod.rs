//! The corrections of a chunk of a delta rule, as far as they do not depend on the state before it.
//!
//! A token's correction depends on those before it: a triangular system, with the same matrix for all columns.
//!
//! Version 1: a thread solves for one column, its 64 unknowns in registers, the matrix in shared memory; the loops are unrolled.

mod system;

use tessera_tile::prelude::*;

use super::{CHUNK, NO_CHUNK, factor, factor_of};
use crate::{
    check,
    recurrence::{group_of, rate},
    unit::{sigmoid, softplus},
};
use system::{STRIDE, Tokens, inverse_lengths, solve};

/// With `k` and `q` of length 1, `beta` the rates of correction, `L` the sums of the logarithms of the decays, and `S` the
/// state before a chunk, a token's correction is `u[t] = corrections[t] - readers[t] S`, where
///
/// ```text
/// corrections[t] = beta[t] v[t]             - beta[t] sum over s < t of exp(L[t] - L[s]) (k[t] . k[s]) corrections[s]
/// readers[t]     = beta[t] exp(L[t]) k[t]   - beta[t] sum over s < t of exp(L[t] - L[s]) (k[t] . k[s]) readers[s]
/// ```
///
/// (Yang et al., "Parallelizing linear transformers with the delta rule", 2024). `factors` are the logarithms, what `q` is
/// divided by (and by the root of `key_dim`), and what `k` is divided by, both as factors.
///
/// Operands are those of [`Delta`](crate::delta::Delta); `products` are those of `k` and `k` as they are given, `[chunks, key_heads,
/// CHUNK, CHUNK]`; `factors` is `[chunks, heads, FACTORS, CHUNK]`, `corrections` `[rows, heads * value_dim]`, `readers` `[rows,
/// heads * key_dim]`, of which rows outside chunks are left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct DeltaSolve {
    /// Whether `decay` is the logarithm of the rate, `A = -exp(w)`, and not `A` itself.
    pub log_decay: bool,
    /// Whether head `h` has the key head `h % key_heads`, and not `h / (heads / key_heads)`.
    pub interleaved: bool,
}

/// Scalars of [`DeltaSolve`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct DeltaSolveArgs {
    /// Heads.
    pub heads: u32,
    /// Heads of `q` and `k`.
    pub key_heads: u32,
    /// Elements of a key.
    pub key_dim: u32,
    /// Elements of a value.
    pub value_dim: u32,
    /// Entries of the table `chunks`.
    pub chunks: u32,
    /// Added to the sums of squares.
    pub eps: f32,
}

/// Threads of a threadgroup, a column each.
const THREADS: u32 = 128;

impl Spec for DeltaSolve {
    type Args = DeltaSolveArgs;

    fn threads(&self) -> u32 {
        THREADS
    }

    fn grid(&self, a: &DeltaSolveArgs) -> [u32; 3] {
        [a.value_dim.div_ceil(THREADS) + a.key_dim.div_ceil(THREADS), a.heads, a.chunks]
    }

    fn check(&self, a: &DeltaSolveArgs) -> Result<(), String> {
        check::states(a.heads, a.key_heads, a.key_dim, a.value_dim)
    }
}

#[kernel]
fn delta_solve(
    k: &DeltaSolve,
    chunks: In<U32>,
    products: In<F32>,
    q: In<F32>,
    keys: In<F32>,
    v: In<F32>,
    a: In<F32>,
    b: In<F32>,
    decay: In<F32>,
    dt_bias: In<F32>,
    factors: Out<F32>,
    corrections: Out<F32>,
    readers: Out<F32>,
    args: Args<DeltaSolveArgs>,
) {
    let (head, chunk) = (group(1), group(2));
    let (heads, key_dim) = (args.heads, args.key_dim);
    let key_head = group_of(k.interleaved, head, heads, args.key_heads);
    let first = chunks.at(chunk);
    let tokens = Tokens::new();
    let system = shared::<F32>("system", CHUNK * STRIDE);
    let product = |t: Val<u32>, s: Val<u32>| {
        products.at(((chunk * args.key_heads + key_head) * CHUNK + t) * CHUNK + s)
    };
    let key = |t: Val<u32>, i: Val<u32>| ((first + t) * args.key_heads + key_head) * key_dim + i;
    if first != NO_CHUNK {
        let of = |which| factor_of(chunk * heads + head, which);
        if thread() < CHUNK {
            let t = thread();
            let at = (first + t) * heads + head;
            let step = softplus(a.at(at) + dt_bias.at(head));
            let log = rate(k.log_decay, decay, head) * step;
            let inverse = rsqrt(product(t, t) + args.eps);
            tokens.set(t, log, sigmoid(b.at(at)), inverse);
            if group(0) == 0 {
                factors.set(of(factor::LOG) + t, log);
                factors.set(of(factor::WRITE) + t, inverse);
            }
        }
        if group(0) == 0 {
            let write = |t: Val<u32>, x: Val<f32>| factors.set(of(factor::READ) + t, x);
            inverse_lengths(q, key, key_dim, args.eps, write);
        }
        barrier();
        tokens.make_system(system, product);
        barrier();
        let of_values = div_ceil(args.value_dim, THREADS);
        let is_value = group(0) < of_values;
        let width = select(is_value, args.value_dim, key_dim);
        let column = select(is_value, group(0), group(0) - of_values) * THREADS + thread();
        let inside = column < width;
        let value = |t: Val<u32>| ((first + t) * heads + head) * args.value_dim + column;
        let reader = |t: Val<u32>| ((first + t) * heads + head) * key_dim + column;
        let given = |t: Val<u32>| given(is_value, inside, v, value(t), keys, key(t, column));
        let right = |t: Val<u32>| {
            let factor = select(is_value, 1.0, tokens.since.at(t) * tokens.inverses.at(t));
            given(t) * (tokens.betas.at(t) * factor)
        };
        for (t, x) in solve(system, right).into_iter().enumerate() {
            if is_value & inside {
                corrections.set(value(val(t as u32)), x);
            }
            if !is_value & inside {
                readers.set(reader(val(t as u32)), x);
            }
        }
    }
}

/// The element of `v` or of `keys`; 0 where there is none.
#[device]
fn given(
    is_value: Val<bool>,
    inside: Val<bool>,
    v: In<F32>,
    value: Val<u32>,
    keys: In<F32>,
    key: Val<u32>,
) -> Val<f32> {
    let mut x = 0.0;
    if is_value & inside {
        x = v.at(value);
    }
    if !is_value & inside {
        x = keys.at(key);
    }
    x.get()
}
