//! Keys and values in maps by (state, page), recurrent states by (state, slot); and what everything takes.

use std::collections::HashMap;

use half::{bf16, f16};

use super::Matrix;
use crate::{
    BackendError, Batch, Graph, Group, KvType, Limits, NO_SLOT, PAGE, Rows, StateId, StorageKind,
    Weights,
};

/// A remembered position.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Absolute position, to notice a page that was given to another sequence meanwhile.
    position: usize,
    pub(super) key: Vec<f32>,
    pub(super) value: Vec<f32>,
}

/// A recurrent state after `position` tokens.
#[derive(Debug, Clone)]
struct Saved {
    /// To notice a slot that was given to another sequence meanwhile.
    position: u32,
    state: Vec<f32>,
}

/// Everything remembered, rounded to the type it would be stored in.
#[derive(Debug)]
pub(super) struct Memory {
    kv: KvType,
    pages: HashMap<(StateId, u32), Vec<Option<Entry>>>,
    slots: HashMap<(StateId, u32), Saved>,
}

impl Memory {
    pub(super) fn new(kv: KvType) -> Self {
        Self { kv, pages: HashMap::new(), slots: HashMap::new() }
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

impl Memory {
    /// The state after the tokens before `position`: zeros, `len` of them, at the start of a sequence.
    pub(super) fn slot(
        &self,
        state: StateId,
        slot: u32,
        position: u32,
        len: usize,
    ) -> Result<Vec<f64>, BackendError> {
        if slot == NO_SLOT {
            return Ok(vec![0.0; len]);
        }
        let saved = self.slots.get(&(state, slot)).filter(|saved| saved.position == position);
        let saved = saved.ok_or_else(|| {
            let what = format!("{state} has nothing of position {position} in slot {slot}");
            BackendError::Batch(what)
        })?;
        Ok(saved.state.iter().map(|&x| f64::from(x)).collect())
    }

    /// Saves the state after `position` tokens.
    pub(super) fn save(&mut self, id: StateId, slot: u32, position: u32, state: &[f64]) {
        let state = state.iter().map(|&x| x as f32).collect();
        self.slots.insert((id, slot), Saved { position, state });
    }

    /// Copies a page or slot of some states to another.
    pub(super) fn copy(&mut self, group: &Group, from: u32, to: u32) {
        for &id in &group.states {
            match group.kind {
                StorageKind::Pages { .. } => {
                    let page = self.pages.get(&(id, from)).cloned().unwrap_or(vec![None; PAGE]);
                    self.pages.insert((id, to), page);
                }
                StorageKind::Slots => match self.slots.get(&(id, from)).cloned() {
                    Some(saved) => drop(self.slots.insert((id, to), saved)),
                    None => drop(self.slots.remove(&(id, to))),
                },
            }
        }
    }

    /// A page or slot as bytes, of [`block_bytes`] (but always f32) and the positions it is known for.
    pub(super) fn export(&self, graph: &Graph, group: &Group, block: u32) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut put = |position: Option<usize>, values: &[f32]| {
            bytes.extend((position.map_or(u64::MAX, |p| p as u64)).to_le_bytes());
            bytes.extend(values.iter().flat_map(|x| x.to_le_bytes()));
        };
        for &id in &group.states {
            let decl = &graph.states[id.index()];
            match self.pages.get(&(id, block)) {
                Some(page) if group.kind != StorageKind::Slots => {
                    let zeros = vec![0.0; decl.page_len() / PAGE];
                    for entry in page {
                        let known = entry.as_ref().map(|e| [&*e.key, &*e.value].concat());
                        let position = entry.as_ref().map(|e| e.position);
                        put(position, known.as_ref().unwrap_or(&zeros));
                    }
                }
                _ if group.kind != StorageKind::Slots => {
                    let zeros = vec![0.0; decl.page_len() / PAGE];
                    (0..PAGE).for_each(|_| put(None, &zeros));
                }
                _ => match self.slots.get(&(id, block)) {
                    Some(saved) => put(Some(saved.position as usize), &saved.state),
                    None => put(None, &vec![0.0; decl.slot_len()]),
                },
            }
        }
        bytes
    }

    /// What [`Memory::export`] gave, into another page or slot.
    pub(super) fn import(
        &mut self,
        graph: &Graph,
        group: &Group,
        block: u32,
        mut bytes: &[u8],
    ) -> Result<(), BackendError> {
        let mut take = |len: usize| {
            let (head, rest) = bytes.split_at_checked(8 + 4 * len)?;
            bytes = rest;
            let (position, values) = head.split_at(8);
            let position = u64::from_le_bytes(position.try_into().ok()?);
            let values = values.as_chunks::<4>().0.iter().map(|&b| f32::from_le_bytes(b));
            Some((position, values.collect::<Vec<f32>>()))
        };
        let short = || BackendError::Batch("a saved page or slot of another size".into());
        for &id in &group.states {
            let decl = &graph.states[id.index()];
            if group.kind == StorageKind::Slots {
                let (position, state) = take(decl.slot_len()).ok_or_else(short)?;
                match u32::try_from(position) {
                    Ok(position) => self.slots.insert((id, block), Saved { position, state }),
                    Err(_) => self.slots.remove(&(id, block)),
                };
                continue;
            }
            let mut page = Vec::with_capacity(PAGE);
            for _ in 0..PAGE {
                let (position, mut key) = take(decl.page_len() / PAGE).ok_or_else(short)?;
                let value = key.split_off(key.len() / 2);
                let known = usize::try_from(position).ok().filter(|_| position != u64::MAX);
                page.push(known.map(|position| Entry { position, key, value }));
            }
            self.pages.insert((id, block), page);
        }
        if bytes.is_empty() { Ok(()) } else { Err(short()) }
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

/// Bytes of one page or slot of `group`, as they would be stored.
pub(super) fn block_bytes(graph: &Graph, group: &Group, limits: &Limits) -> usize {
    let states = group.states.iter().map(|id| &graph.states[id.index()]);
    states.map(|s| s.page_len() * limits.kv.bytes() + s.slot_len() * size_of::<f32>()).sum()
}

fn round(kv: KvType, x: f32) -> f32 {
    match kv {
        KvType::F32 => x,
        KvType::F16 => f16::from_f32(x).to_f32(),
        KvType::BF16 => bf16::from_f32(x).to_f32(),
    }
}
