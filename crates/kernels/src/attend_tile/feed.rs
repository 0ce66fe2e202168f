//! Keys and values on their way to shared memory, some elements of a page at a time: first those of its keys, then those of its
//! values, piece after piece. Through one slot they are loaded and stored; through several they are copied, and while one piece
//! is multiplied the next are on their way, the next page's too.

use tessera_tile::prelude::*;

use super::{AttendTile, load::Shelf, tiles::Chunk};
use crate::{
    stage::share,
    tables::{NO_PAGE, PAGE},
};

/// Slots at most.
pub(super) const MOST: u32 = 3;

/// Where keys and values come from, and how far they have come.
pub(super) struct Feed<'a> {
    pub k: &'a AttendTile,
    pub shelf: &'a Shelf,
    pub pages: In<AnyFloat>,
    /// The run's pages.
    pub table: In<U32>,
    pub first: Val<u32>,
    /// Heads of keys and values, and which is wanted.
    pub heads: (Val<u32>, Val<u32>),
    /// First and last position that the block sees.
    pub seen: (Val<u32>, Val<u32>),
    pub progress: Progress,
}

/// How far pieces have come.
pub(super) struct Progress {
    /// Slot of the page's first piece.
    slot: Var<u32>,
    /// 1 if the page's first pieces were begun with the page before.
    ahead: Var<u32>,
}

/// A page, and its place among the run's.
#[derive(Clone, Copy)]
pub(super) struct Page {
    id: Val<u32>,
    number: Val<u32>,
}

impl Progress {
    #[device]
    pub fn new() -> Self {
        let mut slot = 0u32;
        let mut ahead = 0u32;
        Self { slot, ahead }
    }
}

impl Feed<'_> {
    /// The run's page `number`.
    pub fn page(&self, number: Val<u32>) -> Page {
        Page { id: self.table.at(self.first + number), number }
    }

    /// Whether there is a page.
    #[device]
    pub fn is_there(&self, page: Page) -> Val<bool> {
        page.id != NO_PAGE
    }

    /// Begins with a page.
    #[device]
    pub fn begin(&self, page: Page) {
        if self.k.depth > 1 {
            if self.progress.ahead == 0 {
                for piece in 0..self.k.depth - 1 {
                    self.copy(page, piece, piece);
                    commit_staged();
                }
            }
        }
    }

    /// Has a piece in shared memory, and gives its first row there. All threads come together here.
    pub fn ready(&self, page: Page, piece: u32) -> Val<u32> {
        let all = self.pieces();
        if self.k.depth == 1 {
            // before the values they came together for the weights
            if piece != all / 2 {
                barrier();
            }
            self.load(page, piece);
            barrier();
            return val(0);
        }
        wait_staged(self.k.depth - 2);
        barrier();
        let later = piece + self.k.depth - 1;
        if later < all {
            self.copy(page, later, later);
        } else {
            self.copy_of_next(page, later);
        }
        commit_staged();
        self.row(piece)
    }

    /// Ends with a page.
    #[device]
    pub fn end(&self, page: Page) {
        if self.k.depth > 1 {
            let (_, comes) = self.next(page);
            self.progress.ahead = comes.u32();
            if self.pieces() % self.k.depth != 0 {
                self.progress.slot = (self.progress.slot + self.pieces()) % self.k.depth;
            }
        }
    }

    /// Ends with all.
    pub fn finish(&self) {
        if self.k.depth > 1 {
            wait_staged(0);
        }
    }

    /// The page after one, and whether there is one.
    #[device]
    fn next(&self, page: Page) -> (Page, Val<bool>) {
        let (number, last) = (page.number + 1, self.seen.1 / PAGE);
        let next = self.page(min(number, last));
        (Page { number, ..next }, (number <= last) & self.is_there(next))
    }

    #[device]
    fn copy_of_next(&self, page: Page, later: u32) {
        let (next, comes) = self.next(page);
        if comes {
            self.copy(next, later - self.pieces(), later);
        }
    }

    /// Pieces of a page.
    fn pieces(&self) -> u32 {
        2 * self.k.chunks().len() as u32
    }

    /// First row of the slot of a piece, as many places after the page's first.
    fn row(&self, place: u32) -> Val<u32> {
        let depth = self.k.depth;
        match self.pieces().is_multiple_of(depth) {
            true => val(place % depth * PAGE),
            false => (self.progress.slot + place) % depth * PAGE,
        }
    }

    /// A piece's elements, and where those of the page's first position begin.
    fn piece(&self, page: Page, piece: u32) -> (Chunk, Val<u32>) {
        let (k, chunks) = (self.k, self.k.chunks());
        let (heads, head) = self.heads;
        let key = k.cache.key(page.id, head, heads, val(0));
        match chunks.get(piece as usize) {
            Some(&chunk) => (chunk, key),
            None => (chunks[piece as usize - chunks.len()], key + k.cache.to_value(heads)),
        }
    }

    /// Which position of a page is taken for another: beyond what the block sees lies nothing, so its neighbour, of no weight.
    fn position(&self, page: Page, row: Val<u32>) -> Val<u32> {
        min(max(page.number * PAGE + row, self.seen.0), self.seen.1) % PAGE
    }

    /// Loads a piece, and stores it.
    #[device]
    fn load(&self, page: Page, piece: u32) {
        let (k, (chunk, first)) = (self.k, self.piece(page, piece));
        let width = k.cache.width();
        let vectors = chunk.len / width;
        let all = PAGE * vectors;
        // all loads, then all stores
        let load = |turn: u32| {
            let i = min(thread() + turn * threads(), all - 1);
            let (row, element) = (i / vectors, i % vectors * width);
            let inside = element + chunk.first < k.cache.head_dim;
            let from = first
                + self.position(page, row) * k.cache.head_dim
                + select(inside, element + chunk.first, 0);
            let vector = k.cache.load(self.pages, from).into_iter().map(|x| select(inside, x, 0.0));
            (row, element, vector.collect::<Vec<_>>())
        };
        let staged: Vec<_> = (0..all.div_ceil(threads())).map(load).collect();
        for (turn, (row, element, vector)) in (0..).zip(&staged) {
            if thread() + turn * threads() < all {
                self.shelf.staged.put(*row, *element, vector);
            }
        }
    }

    /// Begins to copy a piece to the slot of a place.
    #[device]
    fn copy(&self, page: Page, piece: u32, place: u32) {
        let (k, (chunk, first)) = (self.k, self.piece(page, piece));
        let (width, slot) = (k.cache.width(), self.row(place));
        let vectors = chunk.len / width;
        let one = |_, i: Val<u32>| {
            let (row, column) = (i / vectors, i % vectors * width);
            let element = column + chunk.first;
            let from = first + self.position(page, row) * k.cache.head_dim + element;
            let inside = (k.padded() > k.cache.head_dim).then(|| element < k.cache.head_dim);
            self.shelf.staged.copy((slot + row, column), self.pages, from, inside);
        };
        share(PAGE * vectors, one);
    }
}
