//! Which positions a row's attention sees.
//!
//! A row sees its own position and those before it, or the last `window` of them. In a tree of guesses, whose rows lie one
//! after the other behind what the sequence remembers, it sees all that is remembered and of the run's rows its
//! ancestors and itself: the bits of its mask. Its place in the sequence, and so its window, follows from their number.

use tessera_tile::{flow::Compare, prelude::*};

use crate::{check::ensure, tables::run};

/// What decides it, as a part of a kernel's specialisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Name)]
pub struct Sight {
    /// Whether only the last positions are seen.
    pub window: bool,
    /// Whether runs are trees.
    pub tree: bool,
}

/// The masks of trees.
#[derive(Clone, Copy)]
pub struct Masks {
    /// `[rows, words]`: bit `i` of a row, whether it sees the run's row `i`.
    pub masks: In<U32>,
    /// Words of a row.
    pub words: Val<u32>,
    /// Position of the run's first row.
    pub base: Val<u32>,
}

impl Masks {
    /// Those of a run, if there are any; `runs` is the table of that name.
    pub fn of(
        masks: Option<In<U32>>,
        words: Val<u32>,
        runs: Option<In<U32>>,
        run: impl FnOnce() -> Val<u32>,
    ) -> Option<Self> {
        masks.zip(runs).map(|(masks, runs)| {
            let base = runs.at(run() * run::WORDS + run::POSITION);
            Self { masks, words, base }
        })
    }
}

/// What one row sees.
#[derive(Clone, Copy)]
pub struct Seen {
    /// First position.
    pub first: Val<u32>,
    /// Last position, its own.
    pub last: Val<u32>,
    /// Of a tree: first word of its mask, and the position of the run's first row.
    tree: Option<(In<U32>, Val<u32>, Val<u32>)>,
}

impl Sight {
    /// Whether what a launch says of windows and masks is enough; if not, why.
    pub(crate) fn check(&self, window: u32, mask_words: u32) -> Result<(), String> {
        ensure!(!self.window || window > 0, "a window of no positions");
        ensure!(!self.tree || mask_words > 0, "trees without masks");
        Ok(())
    }

    /// What row `row` of the step sees, whose own key is at position `last`.
    pub fn of(
        &self,
        masks: Option<Masks>,
        row: Val<u32>,
        last: Val<u32>,
        window: Val<u32>,
    ) -> Seen {
        let tree = masks.map(|masks| (masks.masks, row * masks.words, masks.base));
        let place = match masks {
            Some(Masks { masks, words, base }) if self.window => {
                base + bits(masks, row * words, words) - 1
            }
            _ => last,
        };
        let first = if self.window { place + 1 - min(place + 1, window) } else { val(0) };
        Seen { first, last, tree }
    }
}

impl Seen {
    /// Whether it sees a position.
    pub fn sees(&self, position: Val<u32>) -> Val<bool> {
        let inside = position.ge(self.first) & position.le(self.last);
        self.tree.map_or(inside, |(words, first, base)| {
            let remembered = position.lt(base) | position.gt(self.last);
            let row = select(remembered, 0, position - base);
            let bit = (words.at(first + row / 32) >> (row % 32)) & 1;
            inside & (remembered | bit.eq(1))
        })
    }
}

/// How many bits of `count` words are set.
#[device]
fn bits(words: In<U32>, first: Val<u32>, count: Val<u32>) -> Val<u32> {
    let mut set = 0u32;
    for i in 0..count {
        set += popcount(words.at(first + i));
    }
    set.get()
}
