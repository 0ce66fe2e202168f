//! What a step tells its kernels, in one buffer that is sent whole; the layout is that of `tessera_kernels::tables`.

use tessera_graph::{Batch, CHUNK, Graph, Limits, PAGE};
use tessera_kernels::chunks;
use tessera_kernels::tables::{run, save};

use crate::stream::{BufferId, Range};

/// Where each table lies, in words.
#[derive(Debug, Clone)]
pub struct Tables {
    /// Token of each row.
    pub tokens: Range,
    /// Position of each row.
    pub positions: Range,
    /// Run of each row.
    pub run_of: Range,
    /// Row of each output.
    pub output_rows: Range,
    /// Runs.
    pub runs: Range,
    /// Where recurrent states are saved.
    pub saves: Range,
    /// Rows whose attention is computed one by one.
    pub singles: Range,
    /// Blocks of rows whose attention is computed by tiles: run, and first row in it.
    pub blocks: Range,
    /// First row of each whole chunk of a recurrence.
    pub chunks: Range,
    /// For each group of pages, where each run's page table begins in `pages`.
    pub starts: Vec<Range>,
    /// Page tables; last, as seldom all of it is needed.
    pub pages: Range,
    /// Words in all.
    pub words: usize,
    /// Whether long runs' attention is computed by tiles.
    tiled: bool,
}

/// Rows of a block.
pub const BLOCK: u32 = 16;

/// Rows of a run whose attention is computed one by one; longer ones go by blocks.
const FEW: u32 = 4;

/// Rows at most whose attention is computed one by one.
pub fn singles(limits: &Limits, tiled: bool) -> usize {
    if tiled { limits.tokens.min(limits.runs * FEW as usize) } else { limits.tokens }
}

/// Blocks at most.
pub fn blocks(limits: &Limits) -> usize {
    limits.tokens / BLOCK as usize + limits.runs
}

/// Alignment of a table, in words.
const ALIGN: usize = 64;

impl Tables {
    /// For steps as large as `limits`.
    pub fn new(graph: &Graph, limits: &Limits, tiled: bool) -> Self {
        let mut words = 0;
        let mut place = |len: usize| {
            let range =
                Range { buffer: BufferId::Tables, offset: words * 4, bytes: len.max(1) * 4 };
            words += len.next_multiple_of(ALIGN).max(ALIGN);
            range
        };
        let windows = graph.windows().count();
        let page_table = limits.context.div_ceil(PAGE);
        let tokens = place(limits.tokens);
        let positions = place(limits.tokens);
        let run_of = place(limits.tokens);
        let output_rows = place(limits.outputs);
        let runs = place(limits.runs * run::WORDS as usize);
        let saves = place(limits.tokens * save::WORDS as usize);
        let singles = place(singles(limits, tiled));
        let blocks = place(2 * blocks(limits));
        let chunks = place(limits.tokens.div_ceil(CHUNK));
        let starts = (0..windows).map(|_| place(limits.runs)).collect();
        let pages = place(limits.runs * page_table * windows);
        Self {
            tokens,
            positions,
            run_of,
            output_rows,
            runs,
            saves,
            singles,
            blocks,
            chunks,
            starts,
            pages,
            words,
            tiled,
        }
    }

    /// Fills `words` for a batch that has been checked; gives how many are needed, how many rows' attention is computed one by
    /// one, and the number of blocks of the others.
    pub fn fill(&self, batch: &Batch, words: &mut Vec<u32>) -> (usize, u32, u32) {
        words.resize(self.words, 0);
        let at = |range: &Range| range.offset / 4;
        let mut put = |range: &Range, i: usize, word: u32| words[at(range) + i] = word;
        for (i, &token) in batch.tokens.iter().enumerate() {
            put(&self.tokens, i, token);
        }
        for (i, output) in batch.outputs.iter().enumerate() {
            put(&self.output_rows, i, output.row);
        }
        let (mut saved, mut paged) = (0, 0);
        let (mut singles, mut blocks) = (0, 0);
        for (r, this) in batch.runs.iter().enumerate() {
            for i in 0..this.len {
                let row = (this.row + i) as usize;
                put(&self.positions, row, this.position + i);
                put(&self.run_of, row, r as u32);
            }
            if self.tiled && this.len > FEW {
                for first in (0..this.len).step_by(BLOCK as usize) {
                    put(&self.blocks, 2 * blocks as usize, r as u32);
                    put(&self.blocks, 2 * blocks as usize + 1, first);
                    blocks += 1;
                }
            } else {
                for row in this.row..this.row + this.len {
                    put(&self.singles, singles as usize, row);
                    singles += 1;
                }
            }
            let first = r * run::WORDS as usize;
            let saves = batch.saves(this);
            let entries = [
                (run::ROW, this.row),
                (run::LEN, this.len),
                (run::POSITION, this.position),
                (run::SLOT, this.slot),
                (run::SAVES, saved as u32),
                (run::SAVE_COUNT, saves.len() as u32),
            ];
            for (word, value) in entries {
                put(&self.runs, first + word as usize, value);
            }
            for entry in saves {
                put(&self.saves, saved * save::WORDS as usize + save::AFTER as usize, entry.after);
                put(&self.saves, saved * save::WORDS as usize + save::SLOT as usize, entry.slot);
                saved += 1;
            }
            for (group, starts) in self.starts.iter().enumerate() {
                put(starts, r, paged as u32);
                // a table may be longer than the run's positions need
                let needed = ((this.position + this.len) as usize).div_ceil(PAGE);
                for &page in batch.table(this, group).iter().take(needed) {
                    put(&self.pages, paged, page);
                    paged += 1;
                }
            }
        }
        let end = |range: &Range, len: usize| at(range)..at(range) + len;
        let table = end(&self.chunks, batch.tokens.len().div_ceil(CHUNK));
        let (before, after) = words.split_at_mut(table.start);
        let runs = &before[end(&self.runs, batch.runs.len() * run::WORDS as usize)];
        let saves = &before[end(&self.saves, saved * save::WORDS as usize)];
        chunks::fill(runs, saves, &mut after[..table.len()]);
        (at(&self.pages) + paged, singles, blocks)
    }
}
