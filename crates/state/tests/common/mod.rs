//! What a backend would hold, and checks of what it would read.

use std::collections::HashMap;

use proptest::prelude::*;
use tessera_graph::{BackendError, Batch, NO_PAGE, NO_SLOT, PAGE, StorageKind};
use tessera_state::{Group, Keep, Options, Storage};

pub const ROLLBACK: usize = 70;
pub const CONTEXT: usize = 1500;
pub const LIMIT: usize = 60 * 100;

pub fn options() -> Options {
    Options { context: CONTEXT, sequences: 4, keep: Keep { rollback: ROLLBACK, checkpoints: 2 } }
}

/// Groups of pages with these windows, and slots.
pub fn groups(windows: &[(Option<usize>, usize)]) -> Vec<Group> {
    let page = |&(window, block_bytes): &(Option<usize>, usize)| Group {
        kind: StorageKind::Pages { window },
        block_bytes,
    };
    let slots = Group { kind: StorageKind::Slots, block_bytes: 40 };
    windows.iter().map(page).chain([slots]).collect()
}

/// Pages alone.
pub fn windows() -> Vec<Group> {
    let mut groups = groups(&[(None, 100), (Some(1), 10), (Some(200), 30)]);
    groups.pop();
    groups
}

/// Pages and slots.
pub fn hybrid() -> Vec<Group> {
    groups(&[(None, 100), (Some(200), 30)])
}

pub fn recurrent(groups: &[Group]) -> bool {
    groups.last().is_some_and(|group| group.kind == StorageKind::Slots)
}

/// What was last written to each position of a page: the position and a stamp; or all that was seen by
/// the states in a slot.
pub struct Memory {
    groups: Vec<Group>,
    made: HashMap<usize, usize>,
    pages: HashMap<(usize, u32), HashMap<usize, (u32, u32)>>,
    slots: HashMap<u32, Vec<u32>>,
    /// Refuses to grow a group beyond this.
    pub broken: Option<usize>,
}

impl Memory {
    pub fn new(groups: Vec<Group>) -> Self {
        let (made, pages, slots) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { groups, made, pages, slots, broken: None }
    }

    /// Blocks made in a group.
    pub fn made(&self, group: usize) -> usize {
        self.made.get(&group).copied().unwrap_or(0)
    }

    fn is_slots(&self, group: usize) -> bool {
        self.groups[group].kind == StorageKind::Slots
    }

    /// Does what a backend does with a batch of one run: appends, then reads all that each query sees; and
    /// reads and saves states.
    pub fn run(&mut self, batch: &Batch, written: &[u32]) -> Result<(), TestCaseError> {
        let run = batch.runs[0];
        let (begin, end) = (run.position as usize, (run.position + run.len) as usize);
        for (group, Group { kind, .. }) in self.groups.clone().into_iter().enumerate() {
            let StorageKind::Pages { window } = kind else { continue };
            let table = batch.table(&run, group);
            prop_assert_eq!(table.len(), end.div_ceil(PAGE));
            let made = self.made(group);
            prop_assert!(table.iter().all(|&p| p == NO_PAGE || (p as usize) < made));
            for position in begin..end {
                let page = table[position / PAGE];
                prop_assert_ne!(page, NO_PAGE);
                let cells = self.pages.entry((group, page)).or_default();
                cells.insert(position % PAGE, (position as u32, written[position]));
            }
            let first_seen = (begin + 1).saturating_sub(window.unwrap_or(usize::MAX));
            for position in first_seen..end {
                let cells = self.pages.get(&(group, table[position / PAGE]));
                let cell = cells.and_then(|cells| cells.get(&(position % PAGE)));
                let expected = (position as u32, written[position]);
                prop_assert_eq!(cell, Some(&expected), "group {}", group);
            }
            let unseen = &table[..first_seen / PAGE];
            prop_assert!(unseen.iter().all(|&p| p == NO_PAGE), "unseen pages in the table");
        }
        if recurrent(&self.groups) {
            let read = if run.slot == NO_SLOT { &Vec::new() } else { &self.slots[&run.slot] };
            prop_assert_eq!(&read[..], &written[..begin]);
            let saves = batch.saves(&run);
            prop_assert_eq!(saves.last().map(|save| save.after), Some(run.len));
            for save in saves {
                prop_assert!((save.slot as usize) < self.made(self.groups.len() - 1));
                self.slots.insert(save.slot, written[..begin + save.after as usize].to_vec());
            }
        }
        Ok(())
    }
}

impl Storage for Memory {
    fn grow(&mut self, group: usize, blocks: usize) -> Result<(), BackendError> {
        if self.broken.is_some_and(|most| blocks > most) {
            return Err(BackendError::Memory { bytes: blocks, what: "test" });
        }
        self.made.insert(group, blocks);
        Ok(())
    }

    fn copy(&mut self, group: usize, from: u32, to: u32) -> Result<(), BackendError> {
        if self.is_slots(group) {
            self.slots.insert(to, self.slots[&from].clone());
        } else {
            let cells = self.pages.get(&(group, from)).cloned().unwrap_or_default();
            self.pages.insert((group, to), cells);
        }
        Ok(())
    }

    fn export(&self, group: usize, block: u32, out: &mut Vec<u8>) -> Result<(), BackendError> {
        if self.is_slots(group) {
            out.extend(self.slots[&block].iter().flat_map(|x| x.to_le_bytes()));
            return Ok(());
        }
        for (&at, &(position, stamp)) in self.pages.get(&(group, block)).into_iter().flatten() {
            out.extend([at as u32, position, stamp].iter().flat_map(|x| x.to_le_bytes()));
        }
        Ok(())
    }

    fn import(&mut self, group: usize, block: u32, bytes: &[u8]) -> Result<(), BackendError> {
        let words: Vec<u32> =
            bytes.as_chunks::<4>().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
        if self.is_slots(group) {
            self.slots.insert(block, words);
        } else {
            let cells = words.as_chunks::<3>().0.iter();
            let cells = cells.map(|&[at, position, stamp]| (at as usize, (position, stamp)));
            self.pages.insert((group, block), cells.collect());
        }
        Ok(())
    }
}
