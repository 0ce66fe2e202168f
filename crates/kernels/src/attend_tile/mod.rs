//! Attention of runs of many rows, as in reading a prompt, by matrix tiles.
//!
//! Version 1: a threadgroup takes a block of a run's rows for one head and walks the pages; four simdgroups (or a multiple) make
//! scores of 16 keys each, then 16 elements of the result each. The result is rescaled only when a row's largest score
//! has grown so much that its weights might overflow, which is seldom after the first pages.
//! Version 2: keys and values that need no conversion may be copied ahead of the multiplications.

mod feed;
mod load;
mod rows;
mod tiles;

use tessera_tile::prelude::*;

use crate::{
    cache::Cache,
    check::{self, ensure},
    sight::{Masks, Sight},
    stage,
    tables::{PAGE, run},
    tune::{Tunable, pairs, several, variants},
};
use feed::{Feed, Progress};
use load::{Shelf, stage_queries};
use rows::{Own, Softmax};
use tiles::{Sums, add_values, make_scores, rescale, write};

/// Simdgroups beside each other: each has so many columns of tiles of a page's keys.
const COLUMNS: u32 = PAGE / TILE;

/// Elements from row to row of scores.
const SCORES: u32 = PAGE + 8;

/// Attention of the step's runs: `queries` and `y` are `[rows, heads * head_dim]`.
///
/// `blocks` are `[blocks, 2]`, each a run and the first of its rows, a multiple of `rows`; `runs` is the table of that name.
/// `starts`, `table` and `pages` are as [`Append`](crate::append::Append) takes them, the rows' own keys there already; pages that
/// no row may see are not touched. With `sinks`, `[heads]`, that score takes its share too. A row's result depends on nothing
/// but the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct AttendTile {
    /// How keys and values are kept.
    pub cache: Cache,
    /// Query heads of a key head.
    pub group: u32,
    /// Rows of a block, a multiple of 16 and of `16 * bands`.
    pub rows: u32,
    /// Simdgroups above each other; a threadgroup has four times as many.
    pub bands: u32,
    /// Elements of keys and values staged at once, a multiple of 16.
    pub dims: u32,
    /// Slots of shared memory that they go through, up to 3. With several they are copied, and are of the type `stage`.
    #[name(several)]
    pub depth: u32,
    /// Type of operands of tiles: F32, or F16.
    pub stage: Elem,
    /// What a row sees.
    pub sight: Sight,
    /// Whether scores are capped: `cap * tanh(score / cap)`.
    pub softcap: bool,
    /// Whether there are sinks.
    pub sinks: bool,
}

/// Scalars of [`AttendTile`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct AttendTileArgs {
    /// Blocks of rows.
    pub blocks: u32,
    /// Heads of keys and values.
    pub kv_heads: u32,
    /// Multiplies the scores.
    pub scale: f32,
    /// Positions a row sees at most.
    pub window: u32,
    /// Cap of scores.
    pub softcap: f32,
    /// Words of a row's mask.
    pub mask_words: u32,
}

impl AttendTile {
    /// Elements of a head with what fills its last tile.
    fn padded(&self) -> u32 {
        self.cache.head_dim.next_multiple_of(TILE)
    }

    /// Bytes of shared memory.
    fn bytes(&self) -> u32 {
        let keys = stage::bytes(self.stage, self.depth * PAGE, self.dims);
        let weights = stage::bytes(self.stage, self.rows, PAGE);
        let scores = stage::bytes(Elem::F32, self.rows, PAGE);
        let flags = (self.rows + self.bands * COLUMNS) * 4;
        stage::bytes(self.stage, self.rows, self.padded()) + keys + weights + scores + flags
    }

    fn geometry(&self) -> Result<(), String> {
        let &Self { rows, bands, dims, depth, group, .. } = self;
        ensure!(group > 0, "no query heads");
        let powers = rows.is_power_of_two() && bands.is_power_of_two() && bands <= 8;
        ensure!(powers, "{rows} rows or {bands} bands are no power of two");
        let tiles = rows.is_multiple_of(bands * TILE) && rows <= bands * 64;
        ensure!(tiles, "{rows} rows in {bands} bands");
        ensure!(dims > 0 && dims.is_multiple_of(TILE), "{dims} elements at once");
        ensure!((1..=feed::MOST).contains(&depth), "{depth} slots, not 1 to {}", feed::MOST);
        let copied = depth == 1 || self.cache.elem == self.stage;
        ensure!(
            copied,
            "{:?} is not copied to {:?}: stage through one slot",
            self.cache.elem,
            self.stage
        );
        check::fits(self.threads(), self.bytes())
    }
}

impl Spec for AttendTile {
    type Args = AttendTileArgs;

    fn threads(&self) -> u32 {
        self.bands * COLUMNS * LANES
    }

    fn grid(&self, a: &AttendTileArgs) -> [u32; 3] {
        [a.kv_heads * self.group, a.blocks, 1]
    }

    fn check(&self, a: &AttendTileArgs) -> Result<(), String> {
        self.cache.check()?;
        stage::check(self.stage)?;
        self.geometry()?;
        ensure!(a.blocks.min(a.kv_heads) > 0, "no blocks or heads");
        self.sight.check(a.window, a.mask_words)
    }
}

impl Tunable for AttendTile {
    /// Rows stay: the host makes blocks of so many.
    fn candidates(&self) -> Vec<Self> {
        let own = *self;
        let all = pairs(&[16, 32, 64, 128], &[1, 2, 3]);
        let of = |(dims, depth)| Self { dims, depth, ..own };
        let fits = |k: &Self| k.dims <= k.padded() && k.geometry().is_ok();
        variants(own, all.map(of).filter(fits))
    }

    fn same_bits(&self) -> bool {
        true
    }
}

#[kernel]
fn attend_tile(
    k: &AttendTile,
    queries: In<F32>,
    blocks: In<U32>,
    runs: In<U32>,
    starts: In<U32>,
    table: In<U32>,
    #[of(k.cache.elem)] pages: In<AnyFloat>,
    #[when(k.sight.tree)] masks: Option<In<U32>>,
    #[when(k.sinks)] sinks: Option<In<F32>>,
    y: Out<F32>,
    a: Args<AttendTileArgs>,
) {
    let (head, heads) = (group(0), a.kv_heads * k.group);
    let (run, first) = (blocks.at(group(1) * 2), blocks.at(group(1) * 2 + 1));
    let of_run = |word: u32| runs.at(run * run::WORDS + word);
    let (row, base) = (of_run(run::ROW) + first, of_run(run::POSITION));
    let count = min(of_run(run::LEN) - first, k.rows);
    let shelf = Shelf::new(k);
    let (at, stride) = ((row * heads + head) * k.cache.head_dim, heads * k.cache.head_dim);
    stage_queries(k, &shelf, queries, at, stride, count);

    // a thread has part of a row's scores; rows beyond the block's end repeat its last and are not written
    let own = Own::new(k, count);
    let masks = Masks::of(masks, a.mask_words, Some(runs), || run);
    let seen = k.sight.of(masks, row + own.row, base + first + own.row, a.window);
    let last = base + first + count - 1;
    let earliest = if k.sight.tree { base + 1 } else { base + first + 1 };
    let begin = if k.sight.window { earliest - min(earliest, a.window) } else { val(0) };

    let sums = Sums::new(k);
    let softmax = Softmax::new(&own);
    let (first, heads, seen_by_all) = (starts.at(run), (a.kv_heads, head / k.group), (begin, last));
    let progress = Progress::new();
    let feed = Feed { k, shelf: &shelf, pages, table, first, heads, seen: seen_by_all, progress };
    for number in begin / PAGE..last / PAGE + 1 {
        let page = feed.page(number);
        if feed.is_there(page) {
            feed.begin(page);
            make_scores(k, &shelf, |chunk| feed.ready(page, chunk));
            let cap = k.softcap.then_some(a.softcap);
            let scores = own.scores(&shelf, &seen, number * PAGE, a.scale, cap);
            let grown = softmax.take(&shelf, &scores);
            if grown & (number > begin / PAGE) {
                rescale(k, &shelf, &sums);
            }
            let values = k.chunks().len() as u32;
            add_values(k, &shelf, &sums, |chunk| feed.ready(page, values + chunk));
            feed.end(page);
        }
    }
    feed.finish();
    softmax.finish(&shelf, sinks.map(|sinks| sinks.at(head)));
    write(k, &shelf, &sums, y, at, stride, count);
}
