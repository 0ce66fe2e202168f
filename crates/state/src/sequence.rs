//! A sequence: how long it is, and where its pages and slots are.

use crate::{Saves, slots::Slots, table::Table};

/// Names an open sequence. Ids are never reused, so a stale one is refused, not confused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SequenceId {
    pub(crate) index: u32,
    pub(crate) generation: u32,
}

/// A place for a sequence; its vectors are kept from one to the next.
#[derive(Debug)]
pub(crate) struct Sequence {
    pub(crate) generation: u32,
    pub(crate) open: bool,
    /// Committed positions.
    pub(crate) len: usize,
    /// Positions after `len` that have pages.
    pub(crate) reserved: usize,
    /// Where those save recurrent states.
    pub(crate) saves: Saves,
    /// One for each group of pages.
    pub(crate) tables: Vec<Table>,
    /// Empty for graphs without recurrent states.
    pub(crate) slots: Slots,
}

impl Sequence {
    pub(crate) fn new(tables: usize) -> Self {
        Self {
            generation: 0,
            open: false,
            len: 0,
            reserved: 0,
            saves: Saves::End,
            tables: (0..tables).map(|_| Table::default()).collect(),
            slots: Slots::default(),
        }
    }
}
