//! Keeping a step's keys and values in their pages.
//!
//! Version 1: a thread takes 16 bytes of a key and of the value beside it.

use tessera_tile::prelude::*;

use crate::{
    cache::Cache,
    check::ensure,
    tables::{NO_PAGE, PAGE},
};

/// Keys and values `[rows, kv_heads * head_dim]` into one layer's pages `[pages, 2, kv_heads, PAGE, head_dim]`.
///
/// Row `i` is of run `run_of[i]` and goes to position `positions[i]`; the page that holds it is
/// `table[starts[run] + position / PAGE]`, and a row whose page is [`NO_PAGE`] is not kept. No two rows go to one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Append {
    /// Where they are kept.
    pub cache: Cache,
    /// Threads of a threadgroup, a multiple of 32.
    pub threads: u32,
}

/// Scalars of [`Append`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct AppendArgs {
    /// Rows of the step.
    pub rows: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
}

impl Append {
    /// Vectors of a row's keys.
    fn vectors(&self, a: &AppendArgs) -> u32 {
        a.kv_heads * self.cache.vectors()
    }
}

impl Spec for Append {
    type Args = AppendArgs;

    fn threads(&self) -> u32 {
        self.threads
    }

    fn grid(&self, a: &AppendArgs) -> [u32; 3] {
        [a.rows, self.vectors(a).div_ceil(self.threads), 1]
    }

    fn check(&self, a: &AppendArgs) -> Result<(), String> {
        self.cache.check()?;
        ensure!(a.rows.min(a.kv_heads) > 0, "no keys");
        Ok(())
    }
}

#[kernel]
fn append(
    k: &Append,
    keys: In<F32>,
    values: In<F32>,
    positions: In<U32>,
    run_of: In<U32>,
    starts: In<U32>,
    table: In<U32>,
    #[of(k.cache.elem)] pages: Out<AnyFloat>,
    a: Args<AppendArgs>,
) {
    let row = group(0);
    let position = positions.at(row);
    let page = table.at(starts.at(run_of.at(row)) + position / PAGE);
    let vector = group(1) * threads() + thread();
    let vectors = a.kv_heads * k.cache.vectors();
    if (vector < vectors) & (page != NO_PAGE) {
        let from = (row * vectors + vector) * k.cache.width();
        let (head, part) = (vector / k.cache.vectors(), vector % k.cache.vectors());
        let key = k.cache.key(page, head, a.kv_heads, position % PAGE) + part * k.cache.width();
        put(k.cache, pages, key, keys, from);
        put(k.cache, pages, key + k.cache.to_value(a.kv_heads), values, from);
    }
}

/// Copies a vector of 16 bytes.
fn put(cache: Cache, pages: Out<AnyFloat>, to: Val<u32>, from: In<F32>, first: Val<u32>) {
    let lower = from.load::<4>(first);
    match cache.width() {
        4 => pages.store(to, lower),
        _ => {
            let upper = from.load::<4>(first + 4);
            pages.store::<8>(
                to,
                std::array::from_fn(|i| if i < 4 { lower[i] } else { upper[i - 4] }),
            );
        }
    }
}
