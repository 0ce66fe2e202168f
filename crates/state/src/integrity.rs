//! Every page and slot has the owners it says.

use tessera_graph::{NO_PAGE, PAGE};

use crate::{State, pool::Pool, state::seen, table::Table};

type Result<T> = std::result::Result<T, String>;

impl State {
    /// Checks that each page and slot is either free or has as many owners as tables, checkpoints and
    /// snapshots name it, that tables cover their sequences, and that a closed sequence holds nothing. Cheap
    /// enough to run whenever idle.
    pub fn check_integrity(&self) -> Result<()> {
        for (group, pool) in self.pools.iter().enumerate() {
            let mut owners = vec![0; pool.total()];
            for (i, sequence) in self.sequences.iter().enumerate() {
                let positions = sequence.len + sequence.reserved;
                let positions = if sequence.open { positions } else { 0 };
                let who = format!("group {group}: sequence {i}");
                table(&sequence.tables[group], positions, &mut owners, &who)?;
            }
            for (i, kept) in self.snapshots.iter().enumerate() {
                if let Some(snapshot) = &kept.snapshot {
                    let who = format!("group {group}: snapshot {i}");
                    table(&snapshot.tables[group], snapshot.len, &mut owners, &who)?;
                }
            }
            count(pool, &owners, &format!("page of group {group}"))?;
        }
        if let Some(pool) = &self.slots {
            let mut owners = vec![0; pool.total()];
            for (i, sequence) in self.sequences.iter().enumerate() {
                let who = format!("sequence {i}");
                if sequence.open && (sequence.len > 0) != sequence.slots.now.is_some() {
                    return Err(format!("{who}: {} positions and a slot", sequence.len));
                }
                let owned = sequence.slots.owned();
                owned.into_iter().try_for_each(|slot| own(&mut owners, slot, &who))?;
                let marks = &sequence.slots.marks;
                let ordered = marks.windows(2).all(|two| two[0].position < two[1].position);
                if !ordered || marks.last().is_some_and(|mark| mark.position >= sequence.len) {
                    return Err(format!("{who}: {marks:?} of {} positions", sequence.len));
                }
                let blind = |at| !seen(&sequence.tables, &self.groups, at);
                if let Some(mark) = marks.iter().find(|mark| blind(mark.position)) {
                    return Err(format!("{who}: {mark:?} without its pages"));
                }
                if marks.len() > self.options.keep.checkpoints {
                    return Err(format!("{who}: {} checkpoints", marks.len()));
                }
            }
            let kept = self.snapshots.iter().filter_map(|kept| kept.snapshot.as_ref()?.slot);
            kept.into_iter().try_for_each(|slot| own(&mut owners, slot, "a snapshot"))?;
            count(pool, &owners, "slot")?;
        }
        let pools = self.pools.iter().chain(&self.slots);
        let taken: usize = pools.map(|p| p.total() * p.block_bytes()).sum();
        if taken > self.budget.used() {
            return Err(format!("{taken} bytes of blocks, {} in the budget", self.budget.used()));
        }
        Ok(())
    }
}

fn own(owners: &mut [u32], block: u32, who: &str) -> Result<()> {
    let total = owners.len();
    let owners = owners.get_mut(block as usize);
    *owners.ok_or_else(|| format!("{who} has block {block} of {total}"))? += 1;
    Ok(())
}

fn table(table: &Table, positions: usize, owners: &mut [u32], who: &str) -> Result<()> {
    let Table { pages, live } = table;
    if pages.len() != positions.div_ceil(PAGE) {
        return Err(format!("{who} of {positions} positions has {} pages", pages.len()));
    }
    if pages[..*live].iter().any(|&page| page != NO_PAGE) {
        return Err(format!("{who} forgot pages but holds them"));
    }
    pages[*live..].iter().try_for_each(|&page| own(owners, page, who))
}

fn count(pool: &Pool, found: &[u32], what: &str) -> Result<()> {
    if let Some(block) = (0..found.len()).find(|&block| pool.owners()[block] != found[block]) {
        let said = pool.owners()[block];
        return Err(format!("{what}: {block} has {} owners, not {said}", found[block]));
    }
    let mut free = vec![false; found.len()];
    for &block in pool.free() {
        if std::mem::replace(&mut free[block as usize], true) || found[block as usize] > 0 {
            return Err(format!("{what}: {block} is free twice, or free and owned"));
        }
    }
    match (0..found.len()).find(|&block| !free[block] && found[block] == 0) {
        Some(block) => Err(format!("{what}: {block} is lost")),
        None => Ok(()),
    }
}
