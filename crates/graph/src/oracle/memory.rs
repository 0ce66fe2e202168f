//! Keys and values in maps, by (state, page); and what everything takes.

use std::collections::HashMap;

use half::{bf16, f16};

use super::Matrix;
use crate::{BackendError, Batch, Graph, KvType, Limits, PAGE, PageGroup, Rows, StateId, Weights};

/// A remembered position.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Absolute position, to notice a page that was given to another sequence meanwhile.
    position: usize,
    pub(super) key: Vec<f32>,
    pub(super) value: Vec<f32>,
}

/// All remembered keys and values, rounded to the type they would be stored in.
#[derive(Debug)]
pub(super) struct Memory {
    kv: KvType,
    pages: HashMap<(StateId, u32), Vec<Option<Entry>>>,
}

impl Memory {
    pub(super) fn new(kv: KvType) -> Self {
        Self { kv, pages: HashMap::new() }
    }

    /// Stores the step's keys and values at their positions, through the runs' page tables.
    pub(super) fn append(
        &mut self,
        state: StateId,
        batch: &Batch,
        group: usize,
        keys: &Matrix,
        values: &Matrix,
    ) {
        let kv = self.kv;
        let round_row = |row: &[f32]| row.iter().map(|&x| round(kv, x)).collect();
        for run in &batch.runs {
            for i in 0..run.len as usize {
                let (row, position) = (run.row as usize + i, run.position as usize + i);
                let page = batch.table(run, group)[position / PAGE];
                let slots = self.pages.entry((state, page)).or_insert_with(|| vec![None; PAGE]);
                slots[position % PAGE] = Some(Entry {
                    position,
                    key: round_row(keys.row(row)),
                    value: round_row(values.row(row)),
                });
            }
        }
    }

    /// What is remembered at `position` of the sequence whose pages are `table`.
    pub(super) fn entry(
        &self,
        state: StateId,
        table: &[u32],
        position: usize,
    ) -> Result<&Entry, BackendError> {
        let page = table[position / PAGE];
        let slot = self.pages.get(&(state, page)).and_then(|slots| slots[position % PAGE].as_ref());
        slot.filter(|entry| entry.position == position).ok_or_else(|| {
            BackendError::Batch(format!(
                "{state} has nothing for position {position} in page {page}"
            ))
        })
    }
}

/// Bytes of weights, as they are stored.
pub(super) fn weight_bytes(weights: &Weights) -> usize {
    weights.0.iter().map(tessera_quant::Weight::bytes).sum()
}

/// Bytes of all intermediates: none shares its place with another here.
pub(super) fn arena_bytes(graph: &Graph, limits: &Limits) -> usize {
    let rows = |rows| match rows {
        Rows::Tokens => limits.tokens,
        Rows::Outputs => limits.outputs,
    };
    graph.values.iter().map(|v| rows(v.rows) * v.width * size_of::<f32>()).sum()
}

/// Bytes of one page of `group`, as they would be stored.
pub(super) fn page_bytes(graph: &Graph, group: &PageGroup, limits: &Limits) -> usize {
    let states = group.states.iter().map(|id| &graph.states[id.index()]);
    states.map(|s| 2 * PAGE * s.kv_heads * s.head_dim * limits.kv.bytes()).sum()
}

fn round(kv: KvType, x: f32) -> f32 {
    match kv {
        KvType::F32 => x,
        KvType::F16 => f16::from_f32(x).to_f32(),
        KvType::BF16 => bf16::from_f32(x).to_f32(),
    }
}
