//! The page table of one sequence in one group.

use tessera_graph::{NO_PAGE, PAGE};

use crate::pool::Pool;

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

    /// The page that position `len` goes into, if others have it too and something of theirs is in it.
    pub(crate) fn shared_tail(&self, len: usize, pool: &Pool) -> Option<u32> {
        let page = *self.pages.get(len / PAGE).filter(|_| !len.is_multiple_of(PAGE))?;
        (page != NO_PAGE && pool.is_shared(page)).then_some(page)
    }

    /// Adds pages from `pool`, which has enough, until `positions` have one.
    pub(crate) fn extend(&mut self, positions: usize, pool: &mut Pool) {
        let missing = self.missing(positions);
        self.pages.extend((0..missing).map_while(|_| pool.take()));
    }

    /// Gives back the pages after those of `positions`.
    pub(crate) fn cut(&mut self, positions: usize, pool: &mut Pool) {
        let keep = positions.div_ceil(PAGE);
        while self.pages.len() > keep {
            if let Some(page) = self.pages.pop().filter(|&page| page != NO_PAGE) {
                pool.give(page);
            }
        }
        self.live = self.live.min(self.pages.len());
    }

    /// Gives back the pages before `first`.
    pub(crate) fn forget(&mut self, first: usize, pool: &mut Pool) {
        let first = first.min(self.pages.len());
        for page in self.pages.iter_mut().take(first).skip(self.live) {
            pool.give(std::mem::replace(page, NO_PAGE));
        }
        self.live = self.live.max(first);
    }

    /// The pages of the first `positions`, of which this table and the copy are owners now.
    pub(crate) fn share(&self, positions: usize, pool: &mut Pool) -> Self {
        let pages = &self.pages[..positions.div_ceil(PAGE)];
        for &page in pages.iter().filter(|&&page| page != NO_PAGE) {
            pool.share(page);
        }
        Self { pages: pages.to_vec(), live: self.live.min(pages.len()) }
    }
}
