//! The pages of one group: how many exist and which are free.

use tessera_graph::{BackendError, Executable};

use crate::{Budget, StateError};

/// Whoever owns the memory of pages.
pub trait Storage {
    /// Makes at least `pages` pages available in `group`, numbered from 0. Never shrinks.
    fn grow(&mut self, group: usize, pages: usize) -> Result<(), BackendError>;
}

impl<E: Executable + ?Sized> Storage for E {
    fn grow(&mut self, group: usize, pages: usize) -> Result<(), BackendError> {
        Executable::grow(self, group, pages)
    }
}

/// A slab grows the pool by this fraction of what it has ...
const SLAB_FRACTION: usize = 4;
/// ... but by no more than this many bytes beyond what is needed at once.
const SLAB_BYTES: usize = 32 << 20;

#[derive(Debug)]
pub(crate) struct Pool {
    group: usize,
    page_bytes: usize,
    total: usize,
    /// Taken from the end, so that recently used pages are used again first.
    pub(crate) free: Vec<u32>,
}

impl Pool {
    pub(crate) fn new(group: usize, page_bytes: usize) -> Self {
        Self { group, page_bytes, total: 0, free: Vec::new() }
    }

    pub(crate) fn total(&self) -> usize {
        self.total
    }

    pub(crate) fn page_bytes(&self) -> usize {
        self.page_bytes
    }

    /// Makes sure that `pages` are free, growing by a slab if the budget allows it and by what is
    /// needed if not.
    pub(crate) fn ensure(
        &mut self,
        pages: usize,
        budget: &mut Budget,
        storage: &mut (impl Storage + ?Sized),
    ) -> Result<(), StateError> {
        let missing = pages.saturating_sub(self.free.len());
        if missing == 0 {
            return Ok(());
        }
        let slab = (self.total / SLAB_FRACTION).min(SLAB_BYTES / self.page_bytes.max(1));
        let affordable = budget.available() / self.page_bytes.max(1);
        let added = missing.max(slab.min(affordable));
        let bytes = added.saturating_mul(self.page_bytes);
        budget.take(
            "room for keys and values",
            bytes,
            "shorten the context, run fewer sequences at once or raise the memory budget",
        )?;
        if let Err(error) = storage.grow(self.group, self.total + added) {
            budget.give(bytes);
            return Err(error.into());
        }
        // Room for every page at once: releasing never allocates.
        self.free.reserve(self.total + added - self.free.len());
        self.free.extend((self.total as u32..(self.total + added) as u32).rev());
        self.total += added;
        Ok(())
    }
}
