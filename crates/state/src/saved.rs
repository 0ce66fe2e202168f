//! Snapshots as bytes.
//!
//! ```text
//! "tessera state 1\n"          16 bytes
//! check    u64                 FNV-1a of all that follows
//! key      u32 length, bytes   which model, on what
//! position u64
//! groups   u32 count, then for each:
//!     kind     u64             0 for slots, 1 for pages, 2 + n for pages with a window of n
//!     size     u64             bytes of a block
//!     blocks   u32 count, then for each: u32 index in the table, u32 length, bytes
//! ```
//!
//! All numbers are little-endian. What is in a block is the backend's own affair.

use tessera_graph::{NO_PAGE, PAGE, StorageKind};

use crate::{
    Group, SnapshotId, State, StateError, Storage, snapshot::Snapshot, table::Table,
    table::first_visible,
};

const MAGIC: &[u8; 16] = b"tessera state 1\n";

type Result<T> = std::result::Result<T, StateError>;

fn damaged(what: impl Into<String>) -> StateError {
    StateError::Saved { what: what.into() }
}

/// FNV-1a, 64 bits (Fowler, Noll and Vo): against accidents, not against malice.
fn check(bytes: &[u8]) -> u64 {
    let step = |hash: u64, &byte: &u8| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

fn kind(group: &Group) -> u64 {
    match group.kind {
        StorageKind::Slots => 0,
        StorageKind::Pages { window: None } => 1,
        StorageKind::Pages { window: Some(window) } => 2 + window as u64,
    }
}

/// Reads from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, rest) =
            self.0.split_at_checked(len).ok_or_else(|| damaged("it ends too early"))?;
        self.0 = rest;
        Ok(head)
    }

    fn u32(&mut self) -> Result<u32> {
        let bytes = self.bytes(4)?;
        Ok(bytes.iter().rev().fold(0, |n, &byte| n << 8 | u32::from(byte)))
    }

    fn u64(&mut self) -> Result<u64> {
        let bytes = self.bytes(8)?;
        Ok(bytes.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }
}

impl State {
    /// A snapshot as bytes. `key` names the model and whatever else decides what the bytes mean (element
    /// type, backend); [`load`](Self::load) asks for the same.
    pub fn save(
        &self,
        id: SnapshotId,
        key: &[u8],
        storage: &(impl Storage + ?Sized),
    ) -> Result<Vec<u8>> {
        let snapshot = self.get(id)?;
        let mut out = Vec::from(MAGIC);
        out.extend([0; 8]);
        out.extend((key.len() as u32).to_le_bytes());
        out.extend(key);
        out.extend((snapshot.len as u64).to_le_bytes());
        out.extend((self.groups.len() as u32).to_le_bytes());
        for (index, group) in self.groups.iter().enumerate() {
            out.extend(kind(group).to_le_bytes());
            out.extend((group.block_bytes as u64).to_le_bytes());
            let pages = snapshot.tables.get(index).map_or(&[][..], |table| &table.pages);
            let slot = snapshot.slot.filter(|_| group.kind == StorageKind::Slots);
            let blocks = pages.iter().copied().chain(slot).enumerate();
            let blocks = blocks.filter(|&(_, block)| block != NO_PAGE);
            out.extend((blocks.clone().count() as u32).to_le_bytes());
            for (at, block) in blocks {
                out.extend((at as u32).to_le_bytes());
                let length = out.len();
                out.extend([0; 4]);
                storage.export(index, block, &mut out)?;
                let bytes = (out.len() - length - 4) as u32;
                out[length..length + 4].copy_from_slice(&bytes.to_le_bytes());
            }
        }
        let sum = check(&out[24..]);
        out[16..24].copy_from_slice(&sum.to_le_bytes());
        Ok(out)
    }

    /// The snapshot that [`save`](Self::save) wrote with the same `key`, for a state with the same groups.
    ///
    /// # Errors
    /// [`StateError::Saved`] for anything else, before memory is taken for it; or no room.
    pub fn load(
        &mut self,
        bytes: &[u8],
        key: &[u8],
        storage: &mut (impl Storage + ?Sized),
    ) -> Result<SnapshotId> {
        let mut reader = Reader(bytes);
        if reader.bytes(16)? != MAGIC {
            return Err(damaged("it does not begin like one"));
        }
        if reader.u64()? != check(reader.0) {
            return Err(damaged("its checksum is wrong; it was damaged or cut short"));
        }
        let length = reader.u32()? as usize;
        if reader.bytes(length)? != key {
            return Err(damaged("it was made with another model, or other settings"));
        }
        let position = reader.u64()?;
        let context = self.options.context;
        let len = usize::try_from(position).ok().filter(|&len| len <= context);
        let len = len.ok_or(StateError::Context { needed: position as usize, context })?;
        if reader.u32()? as usize != self.groups.len() {
            return Err(damaged("it has other groups of pages and slots"));
        }
        let tables = self.pools.iter().map(|_| Table::default()).collect();
        let mut snapshot = Snapshot { len, tables, slot: None };
        let filled = (0..self.groups.len())
            .try_for_each(|group| self.fill(group, &mut snapshot, &mut reader, storage))
            .and_then(
                |()| if reader.0.is_empty() { Ok(()) } else { Err(damaged("it is too long")) },
            );
        match filled {
            Ok(()) => Ok(self.keep(snapshot)),
            Err(error) => {
                self.discard(snapshot);
                Err(error)
            }
        }
    }

    /// Reads one group's blocks.
    fn fill(
        &mut self,
        index: usize,
        snapshot: &mut Snapshot,
        reader: &mut Reader<'_>,
        storage: &mut (impl Storage + ?Sized),
    ) -> Result<()> {
        let group = self.groups[index];
        if [reader.u64()?, reader.u64()?] != [kind(&group), group.block_bytes as u64] {
            return Err(damaged("it has other groups of pages and slots"));
        }
        let count = reader.u32()? as usize;
        let pages = snapshot.len.div_ceil(PAGE);
        let first = first_visible(group.window(), snapshot.len, 0).min(pages);
        let expected = match group.kind {
            StorageKind::Slots => 0..usize::from(snapshot.len > 0),
            StorageKind::Pages { .. } => first..pages,
        };
        if count != expected.len() {
            return Err(damaged(format!("{count} blocks where {} are wanted", expected.len())));
        }
        let pool = match group.kind {
            StorageKind::Slots => self.slots.as_mut(),
            StorageKind::Pages { .. } => self.pools.get_mut(index),
        };
        let Some(pool) = pool else { return Err(damaged("it has other groups")) };
        pool.ensure(count, &mut self.budget, storage)?;
        if group.kind != StorageKind::Slots {
            snapshot.tables[index].pages.resize(first, NO_PAGE);
            snapshot.tables[index].live = first;
        }
        for at in expected {
            if reader.u32()? as usize != at {
                return Err(damaged("its blocks are out of order"));
            }
            let length = reader.u32()? as usize;
            let bytes = reader.bytes(length)?;
            let Some(block) = pool.take() else { return Err(damaged("no room")) };
            match group.kind {
                StorageKind::Slots => snapshot.slot = Some(block),
                StorageKind::Pages { .. } => snapshot.tables[index].pages.push(block),
            }
            storage.import(index, block, bytes).map_err(|error| damaged(error.to_string()))?;
        }
        Ok(())
    }
}
