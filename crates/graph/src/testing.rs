//! Running an executable over whole sequences, for the tests of backends and families.

use crate::{Batch, Executable, Graph, NO_PAGE, NO_SLOT, Output, PAGE, Run, Save};

/// Logits of every token of every sequence: for each sequence `[its tokens * vocab]`.
///
/// All sequences go into one ragged batch a step. Step `i` feeds each of them its next `cuts[i]` tokens
/// (the last cut repeats; without cuts, all), so that the same sequences can be run whole, in chunks, or
/// token by token. Pages of the sequences are interleaved, and those behind a window are given up, so
/// that page tables are exercised too.
///
/// # Panics
/// When the backend refuses a step: this is for tests.
pub fn run_logits(
    exe: &mut dyn Executable,
    graph: &Graph,
    sequences: &[&[u32]],
    cuts: &[usize],
) -> Vec<Vec<f32>> {
    let storage = Storage::of(graph);
    let longest = sequences.iter().map(|s| s.len()).max().unwrap_or(0);
    let pages = longest.div_ceil(PAGE) * sequences.len();
    storage.grow(exe, pages, 2 * sequences.len());
    let mut logits = vec![Vec::new(); sequences.len()];
    let mut row = vec![0.0; graph.vocab()];
    let mut done = vec![0; sequences.len()];
    let (mut batch, mut sampled) = (Batch::default(), Vec::new());
    for step in 0.. {
        let cut = cuts.get(step).or(cuts.last()).map_or(usize::MAX, |&cut| cut.max(1));
        batch.clear();
        let mut owners = Vec::new();
        for (sequence, tokens) in sequences.iter().enumerate() {
            let chunk = cut.min(tokens.len() - done[sequence]);
            if chunk > 0 {
                // a slot is read by one step and written by the next, in turn with another
                let slot = |step: usize| (2 * sequence + step % 2) as u32;
                let from = if step == 0 { NO_SLOT } else { slot(step - 1) };
                let run = &tokens[done[sequence]..][..chunk];
                let saves = [Save { after: chunk as u32, slot: slot(step) }];
                storage.push(&mut batch, run, done[sequence], (from, &saves), |page| {
                    (page * sequences.len() + sequence) as u32
                });
                owners.extend(std::iter::repeat_n(sequence, chunk));
                done[sequence] += chunk;
            }
        }
        if owners.is_empty() {
            return logits;
        }
        exe.step(&batch, &mut sampled).unwrap_or_else(|e| panic!("step {step}: {e}"));
        for (output, sequence) in owners.into_iter().enumerate() {
            exe.read_logits(output, &mut row);
            logits[sequence].extend_from_slice(&row);
        }
    }
    logits
}

/// What a graph's states are stored in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// Windows of the groups of pages.
    pub windows: Vec<Option<usize>>,
    /// Whether there are slots.
    pub slots: bool,
}

impl Storage {
    /// Of this graph.
    pub fn of(graph: &Graph) -> Self {
        Self { windows: graph.windows().collect(), slots: graph.is_recurrent() }
    }

    /// Makes pages and slots.
    ///
    /// # Panics
    /// When the backend has none.
    pub fn grow(&self, exe: &mut (impl Executable + ?Sized), pages: usize, slots: usize) {
        for group in 0..self.windows.len() {
            exe.grow(group, pages).unwrap_or_else(|e| panic!("{pages} pages: {e}"));
        }
        if self.slots {
            exe.grow(self.windows.len(), slots).unwrap_or_else(|e| panic!("{slots} slots: {e}"));
        }
    }

    /// Adds a run of `tokens` from `position` on, with all of its logits wanted, its page tables, and the
    /// slots it reads and saves.
    pub fn push(
        &self,
        batch: &mut Batch,
        tokens: &[u32],
        position: usize,
        (slot, saves): (u32, &[Save]),
        page_id: impl Fn(usize) -> u32,
    ) {
        let row = batch.tokens.len() as u32;
        let saves = if self.slots { saves } else { &[] };
        batch.runs.push(Run {
            row,
            len: tokens.len() as u32,
            position: position as u32,
            tables: batch.tables.len() as u32,
            slot: if self.slots { slot } else { NO_SLOT },
            saves: (batch.saves.len() as u32, saves.len() as u32),
        });
        batch.saves.extend_from_slice(saves);
        batch.tokens.extend_from_slice(tokens);
        for i in 0..tokens.len() as u32 {
            let position = position as u32 + i + 1;
            batch.outputs.push(Output { row: row + i, sampling: None, position, history: (0, 0) });
        }
        for window in &self.windows {
            let first = (position + 1).saturating_sub(window.unwrap_or(usize::MAX)) / PAGE;
            let pages = (position + tokens.len()).div_ceil(PAGE);
            batch.tables.push((batch.pages.len() as u32, pages as u32));
            batch
                .pages
                .extend((0..pages).map(|page| if page < first { NO_PAGE } else { page_id(page) }));
        }
    }
}

/// Adds a run to a batch of a graph that has pages alone.
pub fn push(
    batch: &mut Batch,
    tokens: &[u32],
    position: usize,
    windows: &[Option<usize>],
    page_id: impl Fn(usize) -> u32,
) {
    let storage = Storage { windows: windows.to_vec(), slots: false };
    storage.push(batch, tokens, position, (NO_SLOT, &[]), page_id);
}
