//! Pair merging, the engine of byte-pair encoding and of SentencePiece's scored variant.
//!
//! A text starts as one symbol a character; the best mergeable neighbours become one symbol until
//! none are left. Ties go to the leftmost pair. A heap of candidates makes it O(n log n), so a
//! megabyte without a single break is no worse than any other megabyte.

use std::{cmp::Reverse, collections::BinaryHeap};

/// No neighbour, or no id.
pub(crate) const NONE: u32 = u32::MAX;

/// A run of the text that has become one piece.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Symbol {
    /// First byte in the text.
    pub start: u32,
    /// Length in bytes; 0 once swallowed by the symbol to its left.
    pub len: u32,
    /// Token id, or [`NONE`] for a character the vocabulary does not have.
    pub id: u32,
    prev: u32,
    next: u32,
}

/// Candidate, ordered by (priority, position): smaller first. The merged length tells later whether
/// the pair is still what it was.
type Candidate = Reverse<(u32, u32, u32, u32)>;

/// Working memory, reused between words.
#[derive(Debug, Default)]
pub(crate) struct Merger {
    symbols: Vec<Symbol>,
    queue: BinaryHeap<Candidate>,
}

impl Merger {
    /// Forgets the last word.
    pub fn clear(&mut self) {
        self.symbols.clear();
        self.queue.clear();
    }

    /// Appends the next symbol of the word: `len` bytes that are token `id`.
    pub fn push(&mut self, start: usize, len: usize, id: u32) {
        let at = self.symbols.len() as u32;
        let prev = at.wrapping_sub(1);
        if let Some(last) = self.symbols.last_mut() {
            last.next = at;
        }
        self.symbols.push(Symbol { start: start as u32, len: len as u32, id, prev, next: NONE });
    }

    /// Merges until `rank` has nothing more to offer. `rank(left, right)` gives the priority
    /// (smaller merges earlier) and id of the merged pair.
    pub fn run(&mut self, rank: impl Fn(&Symbol, &Symbol) -> Option<(u32, u32)>) {
        for left in 1..self.symbols.len() as u32 {
            self.offer(left - 1, left, &rank);
        }
        while let Some(Reverse((_, left, len, id))) = self.queue.pop() {
            let Symbol { len: left_len, next, prev, .. } = self.symbols[left as usize];
            if left_len == 0 || next == NONE {
                continue;
            }
            let right = self.symbols[next as usize];
            if left_len + right.len != len {
                continue;
            }
            let merged = &mut self.symbols[left as usize];
            (merged.len, merged.id, merged.next) = (len, id, right.next);
            self.symbols[next as usize].len = 0;
            if right.next != NONE {
                self.symbols[right.next as usize].prev = left;
                self.offer(left, right.next, &rank);
            }
            if prev != NONE {
                self.offer(prev, left, &rank);
            }
        }
    }

    /// The symbols left, in order.
    pub fn symbols(&self) -> impl Iterator<Item = &Symbol> {
        self.symbols.iter().filter(|symbol| symbol.len > 0)
    }

    fn offer(
        &mut self,
        left: u32,
        right: u32,
        rank: &impl Fn(&Symbol, &Symbol) -> Option<(u32, u32)>,
    ) {
        let (a, b) = (&self.symbols[left as usize], &self.symbols[right as usize]);
        if let Some((priority, id)) = rank(a, b) {
            self.queue.push(Reverse((priority, left, a.len + b.len, id)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Merges "aa" (id 1) at priority 0 and "aaaa" (id 2) at priority 1.
    fn ids(n: usize) -> Vec<u32> {
        let mut merger = Merger::default();
        (0..n).for_each(|at| merger.push(at, 1, 0));
        merger.run(|a, b| match (a.id, b.id) {
            (0, 0) => Some((0, 1)),
            (1, 1) => Some((1, 2)),
            _ => None,
        });
        merger.symbols().map(|s| s.id).collect()
    }

    #[test]
    fn leftmost_first_and_priorities_in_order() {
        assert!(ids(0).is_empty());
        assert_eq!(ids(1), [0]);
        assert_eq!(ids(3), [1, 0]);
        assert_eq!(ids(7), [2, 1, 0]);
        assert_eq!(ids(100_000).len(), 25_000);
    }
}
