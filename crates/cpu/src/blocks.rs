//! Memory for what sequences remember: pages and slots, block by block.

use tessera_graph::{BackendError, Graph, KvType, StateDecl, StateId};

use crate::{isa::LANES, kernels::attention::WIDEST, kv::Layer, region::Region};

/// The pages, or the slots, of one group.
pub(crate) struct Blocks {
    /// Bytes of a page or slot.
    pub bytes: usize,
    slabs: Vec<Region>,
    addresses: Vec<*mut u8>,
}

// SAFETY: the addresses point into the slabs beside them.
unsafe impl Send for Blocks {}

impl Blocks {
    /// Makes at least `blocks` available; their memory is taken as it is touched.
    pub fn grow(&mut self, blocks: usize) -> Result<(), BackendError> {
        let more = blocks.saturating_sub(self.addresses.len());
        if more == 0 {
            return Ok(());
        }
        let what = "keys, values and recurrent states";
        let bytes =
            more.checked_mul(self.bytes).ok_or(BackendError::Memory { bytes: usize::MAX, what })?;
        let slab = Region::new(bytes, what)?;
        self.addresses.extend((0..more).map(|i| slab.at(i * self.bytes)));
        self.slabs.push(slab);
        Ok(())
    }

    /// How many are available.
    pub fn len(&self) -> usize {
        self.addresses.len()
    }

    /// Address of a block.
    pub fn address(&self, block: u32) -> Result<*mut u8, BackendError> {
        self.addresses.get(block as usize).copied().ok_or_else(|| {
            BackendError::Batch(format!("page or slot {block} of {}", self.addresses.len()))
        })
    }

    /// Copies a block over another.
    pub fn copy(&mut self, from: u32, to: u32) -> Result<(), BackendError> {
        let (from, to) = (self.address(from)?, self.address(to)?);
        // SAFETY: both are `bytes` long and belong to this group, which is borrowed; a block copied over
        // itself overlaps, hence `copy`.
        unsafe { std::ptr::copy(from, to, self.bytes) };
        Ok(())
    }

    /// Appends a block's bytes.
    pub fn export(&self, block: u32, out: &mut Vec<u8>) -> Result<(), BackendError> {
        let from = self.address(block)?;
        // SAFETY: the block is `bytes` long, and regions are zeroed when they are made.
        out.extend_from_slice(unsafe { std::slice::from_raw_parts(from, self.bytes) });
        Ok(())
    }

    /// Overwrites a block.
    pub fn import(&mut self, block: u32, bytes: &[u8]) -> Result<(), BackendError> {
        let to = self.address(block)?;
        if bytes.len() != self.bytes {
            let what = format!("{} bytes for a page or slot of {}", bytes.len(), self.bytes);
            return Err(BackendError::Batch(what));
        }
        // SAFETY: the block is as long as `bytes`.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }
}

/// Where a state is in its group's blocks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place {
    /// In pages.
    Kv(Layer),
    /// At this byte offset of a slot.
    Slot(usize),
}

impl Place {
    /// Keys and values.
    pub fn kv(&self) -> Option<&Layer> {
        match self {
            Self::Kv(layer) => Some(layer),
            Self::Slot(_) => None,
        }
    }
}

/// Lays the graph's states out: the place of each, and the groups' blocks.
pub(crate) fn layout(graph: &Graph, kv: KvType) -> Result<(Vec<Place>, Vec<Blocks>), BackendError> {
    let mut places = vec![Place::Slot(0); graph.states.len()];
    let mut blocks = Vec::new();
    for (group, g) in graph.groups().iter().enumerate() {
        let mut offset = 0;
        for &StateId(id) in &g.states {
            places[id as usize] = match &graph.states[id as usize] {
                StateDecl::Kv(decl) => {
                    if decl.head_dim > WIDEST {
                        let what = format!("heads of {}; {WIDEST} is the limit", decl.head_dim);
                        return Err(BackendError::Unsupported { backend: "cpu", what });
                    }
                    let layer = Layer {
                        group,
                        offset,
                        kv_heads: decl.kv_heads,
                        head_dim: decl.head_dim,
                        dim: decl.head_dim.next_multiple_of(LANES),
                        window: decl.window,
                    };
                    offset += 2 * decl.kv_heads * layer.block_bytes(kv);
                    Place::Kv(layer)
                }
                other => {
                    let place = Place::Slot(offset);
                    offset += (slot_len(other) * size_of::<f32>()).next_multiple_of(64);
                    place
                }
            };
        }
        blocks.push(Blocks { bytes: offset, slabs: Vec::new(), addresses: Vec::new() });
    }
    Ok((places, blocks))
}

/// Elements of a slot that a recurrent state takes here: rows of matrices are whole vectors.
fn slot_len(state: &StateDecl) -> usize {
    match state {
        StateDecl::Scan(scan) => scan.heads * scan.state * scan.head_dim.next_multiple_of(LANES),
        StateDecl::Delta(delta) => {
            delta.heads * delta.key_dim * delta.value_dim.next_multiple_of(LANES)
        }
        other => other.slot_len(),
    }
}
