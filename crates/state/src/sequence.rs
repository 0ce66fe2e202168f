//! A sequence: how long it is and where its pages are.

use crate::table::Table;

/// Names an open sequence. Ids are never reused, so a stale one is refused, not confused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SequenceId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A slot for a sequence; its vectors are kept from one to the next.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) generation: u32,
    pub(crate) open: bool,
    /// Committed positions.
    pub(crate) len: usize,
    /// Positions after `len` that have pages.
    pub(crate) reserved: usize,
    /// One for each group.
    pub(crate) tables: Vec<Table>,
}

impl Slot {
    pub(crate) fn new(groups: usize) -> Self {
        let tables = (0..groups).map(|_| Table::default()).collect();
        Self { generation: 0, open: false, len: 0, reserved: 0, tables }
    }
}
