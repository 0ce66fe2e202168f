//! From a layer's products to attention: queries are normalised and turned, keys too and kept, values kept.
//!
//! Version 1: a simdgroup a head, a lane a pair; what were five launches are one, which decoding waits for.

mod part;

use tessera_tile::prelude::*;

use crate::{
    cache::Cache,
    check::ensure,
    tables::{NO_PAGE, PAGE},
};
use part::{parts, write};

/// What [`RmsNorm`](crate::rms_norm::RmsNorm) of each head, [`Rope`](crate::rope::Rope) and [`Append`](crate::append::Append) do.
///
/// `queries` is `[rows, heads * head_dim]`, `keys` and `values` are `[rows, kv_heads * head_dim]`, `angles` is a
/// [`RopeTable`](crate::rope::RopeTable)'s; weights of norms are `[head_dim]`. `turned`, of the queries, may be `queries`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Turn {
    /// Where keys and values are kept.
    pub cache: Cache,
    /// Pairs of a head that turn: the first `2 * pairs` elements, element `i` with `i + pairs`.
    pub pairs: u32,
    /// Whether heads are normalised before.
    pub norm: bool,
    /// Simdgroups of a threadgroup.
    pub simdgroups: u32,
}

/// Scalars of [`Turn`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct TurnArgs {
    /// Rows of the step.
    pub rows: u32,
    /// Heads of queries.
    pub heads: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Of the norms: added to the mean square.
    pub eps: f32,
    /// Of the norms: added to the weight.
    pub offset: f32,
}

impl Turn {
    /// Pairs, and elements that stay: so many a head.
    fn parts(&self) -> u32 {
        self.cache.head_dim - self.pairs
    }
}

impl Spec for Turn {
    type Args = TurnArgs;

    fn threads(&self) -> u32 {
        self.simdgroups * LANES
    }

    fn grid(&self, a: &TurnArgs) -> [u32; 3] {
        [a.rows, (a.heads + 2 * a.kv_heads).div_ceil(self.simdgroups), 1]
    }

    fn check(&self, a: &TurnArgs) -> Result<(), String> {
        let &Self { cache, pairs, .. } = self;
        cache.check()?;
        let some = pairs > 0 && 2 * pairs <= cache.head_dim;
        ensure!(some, "{pairs} pairs in a head of {}", cache.head_dim);
        ensure!(a.rows.min(a.heads).min(a.kv_heads) > 0, "no heads");
        Ok(())
    }
}

#[kernel]
fn turn(
    k: &Turn,
    queries: In<F32>,
    keys: In<F32>,
    values: In<F32>,
    angles: In<F32>,
    #[when(k.norm)] query_norm: Option<In<F32>>,
    #[when(k.norm)] key_norm: Option<In<F32>>,
    positions: In<U32>,
    run_of: In<U32>,
    starts: In<U32>,
    table: In<U32>,
    turned: Out<F32>,
    #[of(k.cache.elem)] pages: Out<AnyFloat>,
    a: Args<TurnArgs>,
) {
    let (row, head) = (group(0), group(1) * simdgroups() + simdgroup());
    if head < a.heads {
        let at = (row * a.heads + head) * k.cache.head_dim;
        write(turned, at, &parts(k, queries, at, angles, query_norm, &a));
    } else {
        let position = positions.at(row);
        let page = table.at(starts.at(run_of.at(row)) + position / PAGE);
        if page != NO_PAGE {
            let number = head - a.heads;
            let head = number % a.kv_heads;
            let at = (row * a.kv_heads + head) * k.cache.head_dim;
            let key = k.cache.key(page, head, a.kv_heads, position % PAGE);
            if number < a.kv_heads {
                write(pages, key, &parts(k, keys, at, angles, key_norm, &a));
            } else {
                if number < a.kv_heads * 2 {
                    let value = key + k.cache.to_value(a.kv_heads);
                    for i in (lane()..k.cache.head_dim).step_by(LANES) {
                        pages.set(value + i, values.at(at + i));
                    }
                }
            }
        }
    }
}
