//! Running an executable over whole sequences, for the tests of backends and families.

use crate::{Batch, Executable, Graph, NO_PAGE, Output, PAGE, Run};

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
    let windows: Vec<Option<usize>> = graph.windows().collect();
    let longest = sequences.iter().map(|s| s.len()).max().unwrap_or(0);
    for group in 0..windows.len() {
        let pages = longest.div_ceil(PAGE) * sequences.len();
        exe.grow(group, pages).unwrap_or_else(|e| panic!("{pages} pages: {e}"));
    }
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
                push(
                    &mut batch,
                    &tokens[done[sequence]..][..chunk],
                    done[sequence],
                    &windows,
                    |page| (page * sequences.len() + sequence) as u32,
                );
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

/// Adds a run of `tokens` from `position` on, with all of its logits wanted and its page tables.
pub fn push(
    batch: &mut Batch,
    tokens: &[u32],
    position: usize,
    windows: &[Option<usize>],
    page_id: impl Fn(usize) -> u32,
) {
    let row = batch.tokens.len() as u32;
    batch.runs.push(Run {
        row,
        len: tokens.len() as u32,
        position: position as u32,
        tables: batch.tables.len() as u32,
    });
    batch.tokens.extend_from_slice(tokens);
    for i in 0..tokens.len() as u32 {
        let position = position as u32 + i + 1;
        batch.outputs.push(Output { row: row + i, sampling: None, position, history: (0, 0) });
    }
    for window in windows {
        let first = (position + 1).saturating_sub(window.unwrap_or(usize::MAX)) / PAGE;
        let pages = (position + tokens.len()).div_ceil(PAGE);
        batch.tables.push((batch.pages.len() as u32, pages as u32));
        batch
            .pages
            .extend((0..pages).map(|page| if page < first { NO_PAGE } else { page_id(page) }));
    }
}
