//! The page table of one sequence in one group.

use tessera_graph::{NO_PAGE, PAGE};

/// Entry `i` is the page of positions `i * PAGE ..`; those before `live` have been given back.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) pages: Vec<u32>,
    pub(crate) live: usize,
}

/// The first page that a query at `position` sees, keeping `slack` more positions before it.
pub(crate) fn first_visible(window: Option<usize>, position: usize, slack: usize) -> usize {
    match window {
        None => 0,
        Some(window) => (position + 1).saturating_sub(window.saturating_add(slack)) / PAGE,
    }
}

impl Table {
    /// Pages wanted for `positions` beyond those in the table.
    pub(crate) fn missing(&self, positions: usize) -> usize {
        positions.div_ceil(PAGE).saturating_sub(self.pages.len())
    }

    /// Adds pages from `free`, which holds enough, until `positions` have one.
    pub(crate) fn extend(&mut self, positions: usize, free: &mut Vec<u32>) {
        let missing = self.missing(positions);
        self.pages.extend(free.drain(free.len() - missing..).rev());
    }

    /// Gives back the pages after those of `positions`.
    pub(crate) fn cut(&mut self, positions: usize, free: &mut Vec<u32>) {
        let keep = positions.div_ceil(PAGE);
        while self.pages.len() > keep {
            let page = self.pages.pop();
            free.extend(page.filter(|&page| page != NO_PAGE));
        }
        self.live = self.live.min(self.pages.len());
    }

    /// Gives back the pages before `first`.
    pub(crate) fn forget(&mut self, first: usize, free: &mut Vec<u32>) {
        let first = first.min(self.pages.len());
        for page in self.pages.iter_mut().take(first).skip(self.live) {
            free.push(std::mem::replace(page, NO_PAGE));
        }
        self.live = self.live.max(first);
    }
}
