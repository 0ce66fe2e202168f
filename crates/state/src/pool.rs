//! The blocks of one group: how many exist, who has a part in each, and which are free.

use tessera_graph::{BackendError, Executable};

use crate::{Budget, StateError};

/// Whoever owns the memory of pages and slots.
pub trait Storage {
    /// Makes at least `blocks` pages or slots available in `group`, numbered from 0. Never shrinks.
    fn grow(&mut self, group: usize, blocks: usize) -> Result<(), BackendError>;

    /// Copies page or slot `from` over `to`.
    fn copy(&mut self, group: usize, from: u32, to: u32) -> Result<(), BackendError>;

    /// Appends what is in a page or slot to `out`.
    fn export(&self, group: usize, block: u32, out: &mut Vec<u8>) -> Result<(), BackendError>;

    /// Fills a page or slot with what [`Storage::export`] gave.
    fn import(&mut self, group: usize, block: u32, bytes: &[u8]) -> Result<(), BackendError>;
}

impl<E: Executable + ?Sized> Storage for E {
    fn grow(&mut self, group: usize, blocks: usize) -> Result<(), BackendError> {
        Executable::grow(self, group, blocks)
    }

    fn copy(&mut self, group: usize, from: u32, to: u32) -> Result<(), BackendError> {
        Executable::copy(self, group, from, to)
    }

    fn export(&self, group: usize, block: u32, out: &mut Vec<u8>) -> Result<(), BackendError> {
        Executable::export(self, group, block, out)
    }

    fn import(&mut self, group: usize, block: u32, bytes: &[u8]) -> Result<(), BackendError> {
        Executable::import(self, group, block, bytes)
    }
}

/// A slab grows the pool by this fraction of what it has ...
const SLAB_FRACTION: usize = 4;
/// ... but by no more than this many bytes beyond what is needed at once.
const SLAB_BYTES: usize = 32 << 20;

/// Blocks are shared among sequences and snapshots, and never written while they are.
#[derive(Debug)]
pub(crate) struct Pool {
    group: usize,
    block_bytes: usize,
    /// For each block: how many tables, checkpoints and snapshots have it.
    owners: Vec<u32>,
    /// Taken from the end, so that recently used blocks are used again first.
    free: Vec<u32>,
}

impl Pool {
    pub(crate) fn new(group: usize, block_bytes: usize) -> Self {
        Self { group, block_bytes, owners: Vec::new(), free: Vec::new() }
    }

    pub(crate) fn group(&self) -> usize {
        self.group
    }

    pub(crate) fn total(&self) -> usize {
        self.owners.len()
    }

    pub(crate) fn available(&self) -> usize {
        self.free.len()
    }

    pub(crate) fn block_bytes(&self) -> usize {
        self.block_bytes
    }

    pub(crate) fn owners(&self) -> &[u32] {
        &self.owners
    }

    pub(crate) fn free(&self) -> &[u32] {
        &self.free
    }

    /// A free block, now with one owner. There is one: [`Pool::ensure`] has seen to it.
    pub(crate) fn take(&mut self) -> Option<u32> {
        let block = self.free.pop()?;
        self.owners[block as usize] = 1;
        Some(block)
    }

    /// One owner more.
    pub(crate) fn share(&mut self, block: u32) -> u32 {
        self.owners[block as usize] += 1;
        block
    }

    pub(crate) fn is_shared(&self, block: u32) -> bool {
        self.owners[block as usize] > 1
    }

    /// One owner less; without any the block is free.
    pub(crate) fn give(&mut self, block: u32) {
        let owners = &mut self.owners[block as usize];
        *owners -= 1;
        if *owners == 0 {
            self.free.push(block);
        }
    }

    /// Makes sure that `blocks` are free, growing by a slab if the budget allows it and by what is
    /// needed if not.
    pub(crate) fn ensure(
        &mut self,
        blocks: usize,
        budget: &mut Budget,
        storage: &mut (impl Storage + ?Sized),
    ) -> Result<(), StateError> {
        let missing = blocks.saturating_sub(self.free.len());
        if missing == 0 {
            return Ok(());
        }
        let total = self.owners.len();
        let slab = (total / SLAB_FRACTION).min(SLAB_BYTES / self.block_bytes.max(1));
        let affordable = budget.available() / self.block_bytes.max(1);
        let added = missing.max(slab.min(affordable));
        let bytes = added.saturating_mul(self.block_bytes);
        budget.take(
            "room for what sequences remember",
            bytes,
            "shorten the context, run fewer sequences at once or raise the memory budget",
        )?;
        if let Err(error) = storage.grow(self.group, total + added) {
            budget.give(bytes);
            return Err(error.into());
        }
        self.owners.resize(total + added, 0);
        // Room for every block at once: releasing never allocates.
        self.free.reserve(total + added - self.free.len());
        self.free.extend((total as u32..(total + added) as u32).rev());
        Ok(())
    }
}
