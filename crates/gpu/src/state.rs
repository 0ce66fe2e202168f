//! Pages and slots on the device: a buffer for each state, so that a kernel's numbers stay small.

use tessera_graph::{BackendError, Graph, Group, Limits, StorageKind};

use crate::device::Device;

/// Buffers of all states.
pub struct States<D: Device> {
    groups: Vec<Group>,
    /// Of each state: bytes of its part of a page or slot, and its buffer.
    states: Vec<(usize, Option<D::Buffer>)>,
    /// Pages or slots of each group.
    held: Vec<usize>,
}

/// Bytes of a state's part of a page or slot.
fn part(graph: &Graph, limits: &Limits, state: usize) -> usize {
    let decl = &graph.states[state];
    decl.page_len() * limits.kv.bytes() + decl.slot_len() * size_of::<f32>()
}

/// Elements a kernel can address.
const MOST: usize = u32::MAX as usize;

impl<D: Device> States<D> {
    /// Of a graph; there are no pages and slots yet.
    pub fn new(graph: &Graph, limits: &Limits) -> Self {
        let groups = graph.groups();
        let states = (0..graph.states.len()).map(|i| (part(graph, limits, i), None)).collect();
        let held = vec![0; groups.len()];
        Self { groups, states, held }
    }

    /// Bytes of a page or slot of a group.
    pub fn block_bytes(graph: &Graph, limits: &Limits, group: &Group) -> usize {
        group.states.iter().map(|state| part(graph, limits, state.index())).sum()
    }

    /// Pages or slots of a group.
    pub fn held(&self, group: usize) -> usize {
        self.held[group]
    }

    /// Bytes of a page or slot of group `group`.
    pub fn bytes_of(&self, group: usize) -> usize {
        self.groups[group].states.iter().map(|state| self.states[state.index()].0).sum()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        (0..self.groups.len()).map(|group| self.held[group] * self.bytes_of(group)).sum()
    }

    /// A state's buffer.
    pub fn buffer(&self, state: usize) -> Option<&D::Buffer> {
        self.states[state].1.as_ref()
    }

    /// Bytes of a state's buffer.
    pub fn buffer_bytes(&self, state: usize) -> usize {
        let of = |group: &Group| group.states.iter().any(|id| id.index() == state);
        let held = self.groups.iter().position(of).map_or(0, |group| self.held[group]);
        held * self.states[state].0
    }

    /// Makes at least `blocks` pages or slots. What is in those that are there stays, also where memory runs out halfway.
    pub fn grow(
        &mut self,
        device: &mut D,
        group: usize,
        blocks: usize,
    ) -> Result<(), BackendError> {
        let held = self.held[group];
        if blocks <= held {
            return Ok(());
        }
        let what = match self.groups[group].kind {
            StorageKind::Pages { .. } => "pages of keys and values",
            StorageKind::Slots => "slots of recurrent states",
        };
        for state in &self.groups[group].states {
            let (part, buffer) = &mut self.states[state.index()];
            let bytes = blocks * *part;
            if bytes / 2 > MOST {
                return Err(BackendError::Memory { bytes, what });
            }
            let mut larger = device.allocate(bytes, what)?;
            if let Some(buffer) = buffer {
                device.copy((buffer, 0), (&mut larger, 0), held * *part)?;
            }
            // state by state, so that only one is there twice; those before a failure are larger than they have to be
            *buffer = Some(larger);
        }
        self.held[group] = blocks;
        Ok(())
    }

    /// Copies a page or slot over another.
    pub fn copy(
        &mut self,
        device: &mut D,
        group: usize,
        from: u32,
        to: u32,
    ) -> Result<(), BackendError> {
        let mut bytes = Vec::new();
        self.export(device, group, from, &mut bytes)?;
        self.import(device, group, to, &bytes)
    }

    /// Appends a page or slot to `out`, state by state.
    pub fn export(
        &self,
        device: &D,
        group: usize,
        block: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), BackendError> {
        self.check(group, block)?;
        for state in &self.groups[group].states {
            let (part, buffer) = &self.states[state.index()];
            if let Some(buffer) = buffer {
                let start = out.len();
                out.resize(start + part, 0);
                device.read(buffer, block as usize * part, &mut out[start..])?;
            }
        }
        Ok(())
    }

    /// Fills a page or slot with what [`States::export`] gave.
    pub fn import(
        &mut self,
        device: &mut D,
        group: usize,
        block: u32,
        bytes: &[u8],
    ) -> Result<(), BackendError> {
        self.check(group, block)?;
        if bytes.len() != self.bytes_of(group) {
            let what = format!("{} bytes for a block of {}", bytes.len(), self.bytes_of(group));
            return Err(BackendError::Batch(what));
        }
        let mut rest = bytes;
        for state in &self.groups[group].states {
            let (part, buffer) = &mut self.states[state.index()];
            let (own, others) = rest.split_at(*part);
            rest = others;
            if let Some(buffer) = buffer {
                device.write(buffer, block as usize * *part, own)?;
            }
        }
        Ok(())
    }

    fn check(&self, group: usize, block: u32) -> Result<(), BackendError> {
        let held = self.held[group];
        match (block as usize) < held {
            true => Ok(()),
            false => Err(BackendError::Batch(format!("block {block} of {held}"))),
        }
    }
}
