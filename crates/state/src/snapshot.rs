//! Pasts that several sequences can start from.

use crate::{
    SequenceId, State, StateError,
    table::{Table, first_visible},
};

/// Names a snapshot. Ids are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SnapshotId {
    index: u32,
    generation: u32,
}

/// What a snapshot owns a part of.
#[derive(Debug)]
pub(crate) struct Snapshot {
    /// Positions.
    pub(crate) len: usize,
    /// One for each group of pages.
    pub(crate) tables: Vec<Table>,
    /// The slot with the recurrent states, if any.
    pub(crate) slot: Option<u32>,
}

/// A place for a snapshot.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    generation: u32,
    pub(crate) snapshot: Option<Snapshot>,
}

type Result<T> = std::result::Result<T, StateError>;

impl State {
    /// Keeps the first `position` positions of a sequence, whatever becomes of it. Nothing is copied: pages
    /// and slots are shared, and a sequence that would write to one takes a copy then.
    ///
    /// # Errors
    /// [`StateError::Forgotten`] unless the sequence can go back to there, see [`State::reusable`].
    pub fn snapshot(&mut self, id: SequenceId, position: usize) -> Result<SnapshotId> {
        if self.reusable(id, position)? != position {
            return Err(StateError::Forgotten { len: self.len(id)?, wanted: position });
        }
        let sequence = &self.sequences[id.index as usize];
        let tables = sequence.tables.iter().zip(&mut self.pools);
        let mut tables: Vec<Table> =
            tables.map(|(table, pool)| table.share(position, pool)).collect();
        for ((table, pool), group) in tables.iter_mut().zip(&mut self.pools).zip(&self.groups) {
            table.forget(first_visible(group.window(), position, 0), pool);
        }
        let slot = sequence.slots.at(sequence.len, position).filter(|_| position > 0);
        if let (Some(slot), Some(pool)) = (slot, &mut self.slots) {
            pool.share(slot);
        }
        Ok(self.keep(Snapshot { len: position, tables, slot }))
    }

    pub(crate) fn keep(&mut self, snapshot: Snapshot) -> SnapshotId {
        let free = self.snapshots.iter().position(|kept| kept.snapshot.is_none());
        let index = free.unwrap_or_else(|| {
            self.snapshots.push(Kept::default());
            self.snapshots.len() - 1
        });
        let kept = &mut self.snapshots[index];
        kept.snapshot = Some(snapshot);
        SnapshotId { index: index as u32, generation: kept.generation }
    }

    /// Opens a sequence that begins with a snapshot's positions.
    pub fn restore(&mut self, id: SnapshotId) -> Result<SequenceId> {
        self.get(id)?;
        let opened = self.open()?;
        let Some(snapshot) = &self.snapshots[id.index as usize].snapshot else {
            return Err(StateError::Snapshot { index: id.index });
        };
        let sequence = &mut self.sequences[opened.index as usize];
        for ((own, shared), pool) in
            sequence.tables.iter_mut().zip(&snapshot.tables).zip(&mut self.pools)
        {
            *own = shared.share(snapshot.len, pool);
        }
        if let Some(pool) = &mut self.slots {
            sequence.slots.restore(snapshot.slot, pool);
        }
        sequence.len = snapshot.len;
        Ok(opened)
    }

    /// Positions of a snapshot.
    pub fn snapshot_len(&self, id: SnapshotId) -> Result<usize> {
        Ok(self.get(id)?.len)
    }

    /// Gives up a snapshot's part in its pages and slots.
    pub fn drop_snapshot(&mut self, id: SnapshotId) -> Result<()> {
        self.get(id)?;
        let kept = &mut self.snapshots[id.index as usize];
        kept.generation = kept.generation.wrapping_add(1);
        if let Some(snapshot) = kept.snapshot.take() {
            self.discard(snapshot);
        }
        Ok(())
    }

    pub(crate) fn discard(&mut self, snapshot: Snapshot) {
        for (mut table, pool) in snapshot.tables.into_iter().zip(&mut self.pools) {
            table.cut(0, pool);
        }
        if let (Some(slot), Some(pool)) = (snapshot.slot, &mut self.slots) {
            pool.give(slot);
        }
    }

    pub(crate) fn get(&self, id: SnapshotId) -> Result<&Snapshot> {
        let kept = self.snapshots.get(id.index as usize);
        kept.filter(|kept| kept.generation == id.generation)
            .and_then(|kept| kept.snapshot.as_ref())
            .ok_or(StateError::Snapshot { index: id.index })
    }
}
