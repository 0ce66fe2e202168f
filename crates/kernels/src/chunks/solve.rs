//! The corrections of a chunk of a delta rule, as far as they do not depend on the state before it.
//!
//! A token's correction depends on those before it: a triangular system, with the same matrix for all columns.
//!
//! Version 1: a thread solves for one column, its 64 unknowns in registers, the matrix in shared memory; the loops are unrolled.

use tessera_tile::prelude::*;

use super::{CHUNK, NO_CHUNK, factor, factor_of, log_since_start, pairs};
use crate::{
    check,
    recurrence::{group_of, rate},
    unit::{sigmoid, softplus},
};

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

/// Distance of the matrix's rows in shared memory.
const STRIDE: u32 = CHUNK + 4;

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
    let logs = shared::<F32>("logs", CHUNK);
    let betas = shared::<F32>("betas", CHUNK);
    let inverses = shared::<F32>("inverses", CHUNK);
    let since = shared::<F32>("since", CHUNK);
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
            logs.set(t, log);
            betas.set(t, sigmoid(b.at(at)));
            inverses.set(t, inverse);
            if group(0) == 0 {
                factors.set(of(factor::LOG) + t, log);
                factors.set(of(factor::WRITE) + t, inverse);
            }
        }
        if group(0) == 0 {
            for t in (simdgroup()..CHUNK).step_by(simdgroups()) {
                let mut squares = 0.0;
                for i in (lane()..key_dim).step_by(LANES) {
                    let x = q.at(key(t, i));
                    squares = fma(x, x, squares);
                }
                let inverse = rsqrt((simd_sum(squares) + args.eps) * key_dim.f32());
                if lane() == 0 {
                    factors.set(of(factor::READ) + t, inverse);
                }
            }
        }
        barrier();
        if thread() < CHUNK {
            since.set(thread(), exp(log_since_start(logs, thread())));
        }
        pairs(logs, |t, s, log| {
            let size = betas.at(t) * inverses.at(t) * inverses.at(s);
            let x = -(size * exp(log) * product(t, s));
            system.set(t * STRIDE + s, select(t > s, x, 0.0));
        });
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
            let factor = select(is_value, 1.0, since.at(t) * inverses.at(t));
            given(t) * (betas.at(t) * factor)
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

/// The unknowns `x[t] = right[t] + sum over s < t of system[t][s] x[s]`.
fn solve(system: Shared<F32>, right: impl Fn(Val<u32>) -> Val<f32>) -> Vec<Val<f32>> {
    let mut known: Vec<Val<f32>> = Vec::with_capacity(CHUNK as usize);
    for t in 0..CHUNK {
        // two sums, as neither waits for the other
        let mut sums = [right(val(t)), val(0.0)];
        for first in (0..t).step_by(4) {
            let factors: [_; 4] = system.load(val(t * STRIDE + first));
            for (i, (&x, factor)) in known[first as usize..].iter().zip(factors).enumerate() {
                sums[i % 2] = fma(factor, x, sums[i % 2]);
            }
        }
        known.push(sums[0] + sums[1]);
    }
    known
}
