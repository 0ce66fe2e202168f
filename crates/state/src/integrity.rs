//! Every page has exactly one owner.

use tessera_graph::{NO_PAGE, PAGE};

use crate::{State, table::Table};

impl State {
    /// Checks that each page is either free or in exactly one table, that tables cover their
    /// sequences, and that a closed sequence holds nothing. Cheap enough to run whenever idle.
    pub fn check_integrity(&self) -> Result<(), String> {
        for (group, pool) in self.pools.iter().enumerate() {
            let mut owned = vec![false; pool.total()];
            let mut own = |page: u32, by: &str| match owned.get_mut(page as usize) {
                Some(owned) if !*owned => {
                    *owned = true;
                    Ok(())
                }
                Some(_) => Err(format!("group {group}: page {page} has two owners, one is {by}")),
                None => Err(format!("group {group}: {by} has page {page} of {}", pool.total())),
            };
            for &page in &pool.free {
                own(page, "the free list")?;
            }
            for (i, slot) in self.slots.iter().enumerate() {
                let positions = if slot.open { slot.len + slot.reserved } else { 0 };
                let Table { pages, live } = &slot.tables[group];
                if pages.len() != positions.div_ceil(PAGE) {
                    return Err(format!(
                        "group {group}: sequence {i} of {positions} positions has {} pages",
                        pages.len()
                    ));
                }
                if pages[..*live].iter().any(|&page| page != NO_PAGE) {
                    return Err(format!("group {group}: sequence {i} forgot pages but holds them"));
                }
                for &page in &pages[*live..] {
                    own(page, &format!("sequence {i}"))?;
                }
            }
            if let Some(page) = owned.iter().position(|owned| !owned) {
                return Err(format!("group {group}: page {page} is lost"));
            }
        }
        let taken: usize = self.pools.iter().map(|p| p.total() * p.page_bytes()).sum();
        if taken > self.budget.used() {
            return Err(format!("{taken} bytes of pages, {} in the budget", self.budget.used()));
        }
        Ok(())
    }
}
