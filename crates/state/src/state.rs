//! Sequences, their positions, and their pages and slots.

use tessera_graph::{Batch, NO_PAGE, NO_SLOT, PAGE, Run, StorageKind};

use crate::{
    Budget, Group, Saves, SequenceId, StateError, Storage,
    pool::Pool,
    sequence::Sequence,
    size::sequence_blocks,
    snapshot::Kept,
    table::{Table, first_visible},
};

/// Bounds of a [`State`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Positions a sequence may have.
    pub context: usize,
    /// Sequences open at once.
    pub sequences: usize,
    /// What sequences keep to be able to go back.
    pub keep: Keep,
}

/// What a sequence keeps beyond what its next step reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Positions that a window keeps beyond what a query sees, so that a sequence can go back by as
    /// many without being recomputed.
    pub rollback: usize,
    /// Earlier recurrent states kept at most, the oldest given up first. Given up, too, where another sequence
    /// would find no room.
    pub checkpoints: usize,
}

/// What is held now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Open sequences.
    pub sequences: usize,
    /// Pages and slots that belong to sequences or snapshots, all groups.
    pub live_blocks: usize,
    /// Pages and slots the backend has made, all groups.
    pub total_blocks: usize,
    /// Bytes of the live ones.
    pub live_bytes: usize,
    /// Bytes of all of them.
    pub total_bytes: usize,
}

/// Which pages and slots belong to which sequence.
#[derive(Debug)]
pub struct State {
    pub(crate) groups: Vec<Group>,
    pub(crate) options: Options,
    pub(crate) budget: Budget,
    /// One for each group of pages.
    pub(crate) pools: Vec<Pool>,
    /// The pool of slots, where states are recurrent.
    pub(crate) slots: Option<Pool>,
    pub(crate) sequences: Vec<Sequence>,
    pub(crate) snapshots: Vec<Kept>,
    pub(crate) open: usize,
}

type Result<T> = std::result::Result<T, StateError>;

impl State {
    /// No sequences, no pages and no slots. `groups` are in the order of
    /// [`Graph::groups`](tessera_graph::Graph::groups), slots last; `budget` has had everything else
    /// (weights, intermediates) taken from it already.
    pub fn new(groups: Vec<Group>, options: Options, budget: Budget) -> Self {
        let pool = |(i, group): (usize, &Group)| Pool::new(i, group.block_bytes);
        let mut pools: Vec<Pool> = groups.iter().enumerate().map(pool).collect();
        let recurrent = groups.last().is_some_and(|group| group.kind == StorageKind::Slots);
        let slots = if recurrent { pools.pop() } else { None };
        let sequences = (0..options.sequences).map(|_| Sequence::new(pools.len())).collect();
        Self { groups, options, budget, pools, slots, sequences, snapshots: Vec::new(), open: 0 }
    }

    /// Opens an empty sequence; it holds nothing yet.
    pub fn open(&mut self) -> Result<SequenceId> {
        let limit = self.sequences.len();
        let free = self.sequences.iter().position(|sequence| !sequence.open);
        let index = free.ok_or(StateError::Sequences { limit })?;
        let sequence = &mut self.sequences[index];
        sequence.open = true;
        self.open += 1;
        Ok(SequenceId { index: index as u32, generation: sequence.generation })
    }

    /// Committed positions.
    pub fn len(&self, id: SequenceId) -> Result<usize> {
        Ok(self.sequence(id)?.len)
    }

    /// Whether no sequence is open.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// Makes room for `tokens` positions after the committed ones, whose recurrent states are saved as
    /// `saves` says, growing the backend's pools where the budget allows it. Refuses without changing the
    /// sequence, though checkpoints may be gone.
    pub fn reserve(
        &mut self,
        id: SequenceId,
        tokens: usize,
        saves: Saves,
        storage: &mut (impl Storage + ?Sized),
    ) -> Result<()> {
        let context = self.options.context;
        let sequence = self.sequence(id)?;
        let (len, index) = (sequence.len, id.index as usize);
        let needed = len.saturating_add(tokens);
        if needed > context {
            return Err(StateError::Context { needed, context });
        }
        self.unreserve(index);
        let saves = match saves {
            // nothing to keep beside
            Saves::Checkpoint if self.options.keep.checkpoints == 0 => Saves::End,
            saves => saves,
        };
        for (table, pool) in self.sequences[index].tables.iter().zip(&mut self.pools) {
            let copied = usize::from(table.shared_tail(len, pool).is_some());
            pool.ensure(table.missing(needed) + copied, &mut self.budget, storage)?;
        }
        self.ensure_slots(index, tokens, saves, storage)?;
        self.own_tail(index, storage)?;
        let sequence = &mut self.sequences[index];
        for (table, pool) in sequence.tables.iter_mut().zip(&mut self.pools) {
            table.extend(needed, pool);
        }
        if let Some(pool) = &mut self.slots {
            sequence.slots.reserve(len, tokens, saves, pool);
            sequence.saves = saves;
        }
        sequence.reserved = tokens;
        Ok(())
    }

    /// Gives back what was reserved and not used.
    fn unreserve(&mut self, index: usize) {
        let sequence = &mut self.sequences[index];
        sequence.reserved = 0;
        if let Some(pool) = &mut self.slots {
            sequence.slots.drop_pending(pool);
        }
        for (table, pool) in sequence.tables.iter_mut().zip(&mut self.pools) {
            table.cut(sequence.len, pool);
        }
    }

    /// Sees to it that the slots of a run are free, at the cost of checkpoints if need be.
    fn ensure_slots(
        &mut self,
        index: usize,
        tokens: usize,
        saves: Saves,
        storage: &mut (impl Storage + ?Sized),
    ) -> Result<()> {
        let Some(pool) = &mut self.slots else { return Ok(()) };
        let sequence = &self.sequences[index];
        let missing = sequence.slots.missing(sequence.len, tokens, saves, pool);
        loop {
            let error = match pool.ensure(missing, &mut self.budget, storage) {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let full = matches!(error, StateError::OverBudget(_) | StateError::Backend(_));
            let thinned = |sequence: &mut Sequence| sequence.slots.thin(pool);
            if !full || !self.sequences.iter_mut().any(thinned) {
                return Err(error);
            }
        }
    }

    /// Copies the pages that the next position goes into and that others have as well.
    fn own_tail(&mut self, index: usize, storage: &mut (impl Storage + ?Sized)) -> Result<()> {
        let Sequence { tables, len, .. } = &mut self.sequences[index];
        for (table, pool) in tables.iter_mut().zip(&mut self.pools) {
            let Some(shared) = table.shared_tail(*len, pool) else { continue };
            let Some(own) = pool.take() else { continue };
            if let Err(error) = storage.copy(pool.group(), shared, own) {
                pool.give(own);
                return Err(error.into());
            }
            pool.give(shared);
            table.pages[*len / PAGE] = own;
        }
        Ok(())
    }

    /// Appends a run of reserved `tokens` to `batch`, with its page tables and slots; returns its first row.
    /// Where states are recurrent, they are all that was reserved.
    pub fn push_run(&self, id: SequenceId, tokens: &[u32], batch: &mut Batch) -> Result<u32> {
        let sequence = self.sequence(id)?;
        let (len, reserved) = (sequence.len, sequence.reserved);
        if tokens.len() > reserved || self.slots.is_some() && tokens.len() != reserved {
            return Err(StateError::Reservation { tokens: tokens.len(), reserved });
        }
        let row = batch.tokens.len() as u32;
        batch.tokens.extend_from_slice(tokens);
        let tables = batch.tables.len() as u32;
        let pages = (len + tokens.len()).div_ceil(PAGE);
        for (table, group) in sequence.tables.iter().zip(&self.groups) {
            let start = batch.pages.len() as u32;
            let first = first_visible(group.window(), len, 0).min(pages);
            batch.pages.extend(std::iter::repeat_n(NO_PAGE, first));
            batch.pages.extend_from_slice(&table.pages[first..pages]);
            batch.tables.push((start, pages as u32));
        }
        let slot = if self.slots.is_some() { sequence.slots.source() } else { NO_SLOT };
        let pending = &sequence.slots.pending;
        let saves = (batch.saves.len() as u32, pending.len() as u32);
        batch.saves.extend_from_slice(pending);
        let (count, position) = (tokens.len() as u32, len as u32);
        batch.runs.push(Run { row, len: count, position, tables, slot, saves });
        Ok(row)
    }

    /// Keeps the first `kept` of the reserved positions, gives back the other pages and slots and those
    /// that no later query can see. How many may be kept of recurrent states depends on where they were
    /// saved: all, none, or with [`Saves::Every`] any.
    ///
    /// When nothing is kept of a run that saved its states over those before (it may have failed halfway),
    /// the sequence goes back to its latest checkpoint, or to nothing: see [`len`](Self::len).
    pub fn commit(&mut self, id: SequenceId, kept: usize) -> Result<()> {
        let reserved = self.sequence(id)?.reserved;
        if kept > reserved {
            return Err(StateError::Reservation { tokens: kept, reserved });
        }
        let Keep { rollback, checkpoints } = self.options.keep;
        let sequence = &mut self.sequences[id.index as usize];
        sequence.len = match &mut self.slots {
            Some(pool) => {
                let saves = sequence.saves;
                sequence.slots.commit(sequence.len, kept, checkpoints, saves, pool)?
            }
            None => sequence.len + kept,
        };
        sequence.reserved = 0;
        for ((table, pool), group) in
            sequence.tables.iter_mut().zip(&mut self.pools).zip(&self.groups)
        {
            table.cut(sequence.len, pool);
            table.forget(first_visible(group.window(), sequence.len, rollback), pool);
        }
        // A checkpoint whose window is gone is of no use.
        while let (Some(pool), Some(oldest)) = (&mut self.slots, sequence.slots.marks.first())
            && !seen(&sequence.tables, &self.groups, oldest.position)
        {
            sequence.slots.thin(pool);
        }
        Ok(())
    }

    /// The longest part of the first `prefix` positions that the sequence can go back to and continue from:
    /// all of it; or, where states are recurrent, as much as was saved; or none, where a window has forgotten
    /// what the next query would see.
    pub fn reusable(&self, id: SequenceId, prefix: usize) -> Result<usize> {
        let sequence = self.sequence(id)?;
        let prefix = prefix.min(sequence.len);
        let kept = |at: usize| seen(&sequence.tables, &self.groups, at);
        Ok(match self.slots {
            Some(_) => sequence.slots.reusable(sequence.len, prefix, kept),
            None if kept(prefix) => prefix,
            None => 0,
        })
    }

    /// Goes back to the first `len` positions; see [`reusable`](Self::reusable). 0 always works.
    pub fn truncate(&mut self, id: SequenceId, len: usize) -> Result<()> {
        if self.reusable(id, len)? != len {
            return Err(StateError::Forgotten { len: self.len(id)?, wanted: len });
        }
        let sequence = &mut self.sequences[id.index as usize];
        if let Some(pool) = &mut self.slots {
            sequence.slots.truncate(sequence.len, len, pool);
        }
        sequence.len = len;
        sequence.reserved = 0;
        for (table, pool) in sequence.tables.iter_mut().zip(&mut self.pools) {
            table.cut(len, pool);
        }
        Ok(())
    }

    /// Closes the sequence and gives all its pages and slots back.
    pub fn release(&mut self, id: SequenceId) -> Result<()> {
        self.truncate(id, 0)?;
        let sequence = &mut self.sequences[id.index as usize];
        sequence.open = false;
        sequence.generation = sequence.generation.wrapping_add(1);
        self.open -= 1;
        Ok(())
    }

    /// Whether a new sequence of `positions`, run in steps of up to `step` tokens, would find its pages
    /// and slots free or within the budget now, without checkpoints. Nothing is set aside for it.
    pub fn fits(&self, positions: usize, step: usize) -> bool {
        let keep = Keep { checkpoints: 0, ..self.options.keep };
        let missing = |(group, pool): (&Group, &Pool)| {
            let blocks = sequence_blocks(group, positions, step, keep);
            blocks.saturating_sub(pool.available()).saturating_mul(group.block_bytes)
        };
        let pools = self.pools.iter().chain(&self.slots);
        let bytes = self.groups.iter().zip(pools).map(missing).fold(0, usize::saturating_add);
        bytes <= self.budget.available()
    }

    /// What is held now.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage { sequences: self.open, ..Usage::default() };
        for pool in self.pools.iter().chain(&self.slots) {
            let live = pool.total() - pool.available();
            usage.live_blocks += live;
            usage.total_blocks += pool.total();
            usage.live_bytes += live * pool.block_bytes();
            usage.total_bytes += pool.total() * pool.block_bytes();
        }
        usage
    }

    /// The groups of pages and slots.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Bounds given at the start.
    pub fn options(&self) -> Options {
        self.options
    }

    /// The memory budget, with the pages and slots made so far taken from it.
    pub fn budget(&self) -> Budget {
        self.budget
    }

    pub(crate) fn sequence(&self, id: SequenceId) -> Result<&Sequence> {
        let closed = StateError::Closed { index: id.index };
        match self.sequences.get(id.index as usize) {
            Some(sequence) if sequence.open && sequence.generation == id.generation => Ok(sequence),
            _ => Err(closed),
        }
    }
}

/// Whether all that a query at position `at` sees is there.
pub(crate) fn seen(tables: &[Table], groups: &[Group], at: usize) -> bool {
    let seen =
        |(table, group): (&Table, &Group)| table.live <= first_visible(group.window(), at, 0);
    tables.iter().zip(groups).all(seen)
}
