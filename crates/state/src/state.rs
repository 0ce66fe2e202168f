//! Sequences, their positions and their pages.

use tessera_graph::{Batch, NO_PAGE, Run};

use crate::{
    Budget, Group, SequenceId, StateError, Storage, pool::Pool, sequence::Slot,
    size::sequence_pages, table::first_visible,
};

/// Bounds of a [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Positions a sequence may have.
    pub context: usize,
    /// Sequences open at once.
    pub sequences: usize,
    /// Positions that a window keeps beyond what a query sees, so that a sequence can go back by as
    /// many without being recomputed.
    pub rollback: usize,
}

/// What is held now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Open sequences.
    pub sequences: usize,
    /// Pages that belong to sequences, all groups.
    pub live_pages: usize,
    /// Pages the backend has made, all groups.
    pub total_pages: usize,
    /// Bytes of the live ones.
    pub live_bytes: usize,
    /// Bytes of all of them.
    pub total_bytes: usize,
}

/// Which pages belong to which sequence.
#[derive(Debug)]
pub struct State {
    pub(crate) groups: Vec<Group>,
    pub(crate) options: Options,
    pub(crate) budget: Budget,
    pub(crate) pools: Vec<Pool>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) open: usize,
}

type Result<T> = std::result::Result<T, StateError>;

impl State {
    /// No sequences and no pages. `groups` are in the order of the graph's page groups; `budget` has
    /// had everything else (weights, intermediates) taken from it already.
    pub fn new(groups: Vec<Group>, options: Options, budget: Budget) -> Self {
        let pools = groups.iter().enumerate().map(|(i, g)| Pool::new(i, g.page_bytes)).collect();
        let slots = (0..options.sequences).map(|_| Slot::new(groups.len())).collect();
        Self { groups, options, budget, pools, slots, open: 0 }
    }

    /// Opens an empty sequence; it holds no pages yet.
    pub fn open(&mut self) -> Result<SequenceId> {
        let limit = self.slots.len();
        let free = self.slots.iter().position(|slot| !slot.open);
        let index = free.ok_or(StateError::Sequences { limit })?;
        let slot = &mut self.slots[index];
        slot.open = true;
        self.open += 1;
        Ok(SequenceId { index: index as u32, generation: slot.generation })
    }

    /// Committed positions.
    pub fn len(&self, id: SequenceId) -> Result<usize> {
        Ok(self.slot(id)?.len)
    }

    /// Whether no sequence is open.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Makes pages for `tokens` positions after the committed ones, growing the backend's pools where
    /// the budget allows it. Refuses without changing the sequence.
    pub fn reserve(
        &mut self,
        id: SequenceId,
        tokens: usize,
        storage: &mut (impl Storage + ?Sized),
    ) -> Result<()> {
        let context = self.options.context;
        let slot = self.slot(id)?;
        let needed = slot.len.saturating_add(tokens);
        if needed > context {
            return Err(StateError::Context { needed, context });
        }
        for (table, pool) in self.slots[id.index as usize].tables.iter().zip(&mut self.pools) {
            pool.ensure(table.missing(needed), &mut self.budget, storage)?;
        }
        let slot = &mut self.slots[id.index as usize];
        for (table, pool) in slot.tables.iter_mut().zip(&mut self.pools) {
            table.extend(needed, &mut pool.free);
        }
        slot.reserved = slot.reserved.max(tokens);
        Ok(())
    }

    /// Appends a run of reserved `tokens` to `batch`, with its page tables; returns its first row.
    pub fn push_run(&self, id: SequenceId, tokens: &[u32], batch: &mut Batch) -> Result<u32> {
        let slot = self.slot(id)?;
        if tokens.len() > slot.reserved {
            return Err(StateError::Reservation { tokens: tokens.len(), reserved: slot.reserved });
        }
        let row = batch.tokens.len() as u32;
        batch.tokens.extend_from_slice(tokens);
        let tables = batch.tables.len() as u32;
        let pages = (slot.len + tokens.len()).div_ceil(tessera_graph::PAGE);
        for (table, group) in slot.tables.iter().zip(&self.groups) {
            let start = batch.pages.len() as u32;
            let first = first_visible(group.window, slot.len, 0).min(pages);
            batch.pages.extend(std::iter::repeat_n(NO_PAGE, first));
            batch.pages.extend_from_slice(&table.pages[first..pages]);
            batch.tables.push((start, pages as u32));
        }
        let (len, position) = (tokens.len() as u32, slot.len as u32);
        batch.runs.push(Run { row, len, position, tables });
        Ok(row)
    }

    /// Keeps the first `kept` of the reserved positions, gives back the other pages and those that no
    /// later query can see.
    pub fn commit(&mut self, id: SequenceId, kept: usize) -> Result<()> {
        let reserved = self.slot(id)?.reserved;
        if kept > reserved {
            return Err(StateError::Reservation { tokens: kept, reserved });
        }
        let rollback = self.options.rollback;
        let slot = &mut self.slots[id.index as usize];
        slot.len += kept;
        slot.reserved = 0;
        for ((table, pool), group) in slot.tables.iter_mut().zip(&mut self.pools).zip(&self.groups)
        {
            table.cut(slot.len, &mut pool.free);
            table.forget(first_visible(group.window, slot.len, rollback), &mut pool.free);
        }
        Ok(())
    }

    /// How much of the first `prefix` positions the sequence can go back to and continue from:
    /// all of them or, where a window has forgotten what the next query would see, none.
    pub fn reusable(&self, id: SequenceId, prefix: usize) -> Result<usize> {
        let slot = self.slot(id)?;
        let prefix = prefix.min(slot.len);
        let kept = |(table, group): (&crate::table::Table, &Group)| {
            table.live <= first_visible(group.window, prefix, 0)
        };
        Ok(if slot.tables.iter().zip(&self.groups).all(kept) { prefix } else { 0 })
    }

    /// Goes back to the first `len` positions; see [`reusable`](Self::reusable). 0 always works.
    pub fn truncate(&mut self, id: SequenceId, len: usize) -> Result<()> {
        if self.reusable(id, len)? != len {
            return Err(StateError::Forgotten { len: self.len(id)?, wanted: len });
        }
        let slot = &mut self.slots[id.index as usize];
        slot.len = len;
        slot.reserved = 0;
        for (table, pool) in slot.tables.iter_mut().zip(&mut self.pools) {
            table.cut(len, &mut pool.free);
        }
        Ok(())
    }

    /// Closes the sequence and gives all its pages back.
    pub fn release(&mut self, id: SequenceId) -> Result<()> {
        self.truncate(id, 0)?;
        let slot = &mut self.slots[id.index as usize];
        slot.open = false;
        slot.generation = slot.generation.wrapping_add(1);
        self.open -= 1;
        Ok(())
    }

    /// Whether a new sequence of `positions`, run in steps of up to `step` tokens, would find its pages
    /// free or within the budget now. Nothing is set aside for it.
    pub fn fits(&self, positions: usize, step: usize) -> bool {
        let missing = |(group, pool): (&Group, &Pool)| {
            let pages = sequence_pages(group, positions, step, self.options.rollback);
            pages.saturating_sub(pool.free.len()).saturating_mul(group.page_bytes)
        };
        let bytes = self.groups.iter().zip(&self.pools).map(missing).fold(0, usize::saturating_add);
        bytes <= self.budget.available()
    }

    /// What is held now.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage { sequences: self.open, ..Usage::default() };
        for pool in &self.pools {
            let live = pool.total() - pool.free.len();
            usage.live_pages += live;
            usage.total_pages += pool.total();
            usage.live_bytes += live * pool.page_bytes();
            usage.total_bytes += pool.total() * pool.page_bytes();
        }
        usage
    }

    /// The page groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Bounds given at the start.
    pub fn options(&self) -> Options {
        self.options
    }

    /// The memory budget, with the pages made so far taken from it.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    fn slot(&self, id: SequenceId) -> Result<&Slot> {
        let closed = StateError::Closed { index: id.index };
        match self.slots.get(id.index as usize) {
            Some(slot) if slot.open && slot.generation == id.generation => Ok(slot),
            _ => Err(closed),
        }
    }
}
