//! The steps that a search measures in.

use tessera_graph::{
    BackendError, Batch, Executable, Graph, KvType, Limits, NO_PAGE, NO_SLOT, Output, PAGE, Run,
    Save,
};

use super::{CONTEXT, DECODE, nominal};

/// Bytes of a group's pages at most; runs share pages beyond that, but for the last.
const MOST_BYTES: usize = 1 << 30;

/// What a model is compiled for to be searched with steps of these rows.
pub fn limits(rows: &[u32], kv: KvType) -> Limits {
    let most = rows.iter().copied().max().unwrap_or(1) as usize;
    let runs = most.min(DECODE as usize);
    Limits { tokens: most, outputs: runs, runs, context: CONTEXT as usize, kv }
}

/// The step of so many rows, whose last positions are the last of [`CONTEXT`], and room for it in the model.
pub fn step(exe: &mut dyn Executable, graph: &Graph, rows: u32) -> Result<Batch, BackendError> {
    let shape = nominal(rows);
    let (runs, len) = (shape.runs, shape.longest);
    let first = CONTEXT - len;
    let windows: Vec<_> = graph.windows().collect();
    let pages = CONTEXT.div_ceil(PAGE as u32);
    let written = pages - first / PAGE as u32;
    let mut shared = Vec::new();
    for group in 0..windows.len() {
        let fit = u32::try_from(MOST_BYTES / exe.block_bytes(group).max(1)).unwrap_or(u32::MAX);
        let own = runs * written;
        let others = (runs * (pages - written)).min(fit.max(pages));
        exe.grow(group, (own + others) as usize)?;
        shared.push((own, others));
    }
    let recurrent = graph.is_recurrent();
    if recurrent {
        exe.grow(windows.len(), runs as usize)?;
    }
    let mut batch = Batch::default();
    for run in 0..runs {
        let row = batch.tokens.len() as u32;
        batch.runs.push(Run {
            row,
            len,
            position: first,
            tables: batch.tables.len() as u32,
            slot: if recurrent { run } else { NO_SLOT },
            saves: (batch.saves.len() as u32, u32::from(recurrent)),
        });
        if recurrent {
            batch.saves.push(Save { after: len, slot: run });
        }
        batch.tokens.extend((0..len).map(|i| (row + i) * 7 % graph.vocab() as u32));
        let last = row + len - 1;
        batch.outputs.push(Output {
            row: last,
            sampling: None,
            position: CONTEXT,
            history: (0, 0),
        });
        for (window, &(own, others)) in windows.iter().zip(&shared) {
            let seen = (first as usize + 1).saturating_sub(window.unwrap_or(usize::MAX)) / PAGE;
            batch.tables.push((batch.pages.len() as u32, pages));
            batch.pages.extend((0..pages).map(|page| match page.checked_sub(pages - written) {
                _ if (page as usize) < seen => NO_PAGE,
                Some(page) => run * written + page,
                None => own + (run * (pages - written) + page) % others,
            }));
        }
    }
    Ok(batch)
}
