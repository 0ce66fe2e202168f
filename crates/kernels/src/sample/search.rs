//! The fewest items, taken in order, whose measures reach a limit: the last of them.
//!
//! Items are ordered by a score, the largest first, and then by id, the smallest first; or by id alone. The last one is
//! found digit by digit, each from a histogram of the items that share the digits before it.

use tessera_tile::prelude::*;

use super::{
    MAX_VOCAB,
    bins::{BINS, DIGIT, Found},
    wide::{Sum, Wide},
};

/// Passes over ids.
pub const ID_PASSES: u32 = 2;

/// What is known of the last item.
#[derive(Clone, Copy)]
pub struct Search {
    /// Bits of a score.
    bits: u32,
    score: Var<u32>,
    score_known: Var<u32>,
    /// Of the id's complement, which is larger for earlier ids.
    place: Var<u32>,
    place_known: Var<u32>,
    rest: Sum,
}

impl Search {
    /// Nothing is known. Scores have `bits` bits.
    #[device]
    pub fn new(bits: u32) -> Self {
        let mut score = 0u32;
        let mut score_known = 0u32;
        let mut place = 0u32;
        let mut place_known = 0u32;
        let rest = Sum::zero();
        Self { bits, score, score_known, place, place_known, rest }
    }

    /// Forgets everything.
    #[device]
    pub fn reset(self) {
        self.score = 0u32;
        self.score_known = 0u32;
        self.place = 0u32;
        self.place_known = 0u32;
    }

    /// Passes over scores, which come before those over ids.
    pub fn score_passes(self) -> u32 {
        self.bits.div_ceil(DIGIT)
    }

    /// Passes in all.
    pub fn passes(self) -> u32 {
        self.score_passes() + ID_PASSES
    }

    /// Whether a pass is over ids.
    #[device]
    fn is_of_ids(self, pass: Val<u32>) -> Val<bool> {
        pass >= self.score_passes()
    }

    /// Where the digit of a pass lies in score or place.
    #[device]
    fn shift(self, pass: Val<u32>) -> Val<u32> {
        let of_ids = self.is_of_ids(pass);
        let past = select(of_ids, pass - self.score_passes(), pass) * DIGIT + DIGIT;
        let bits = select(of_ids, ID_PASSES * DIGIT, self.bits);
        // the last digit of a score may overlap the one before
        select(bits > past, bits - past, 0)
    }

    /// Whether an item shares the known digits, and its digit in this pass.
    #[device]
    pub fn digit(self, pass: Val<u32>, score: Val<u32>, id: Val<u32>) -> (Val<bool>, Val<u32>) {
        let place = MAX_VOCAB - id;
        let differs =
            ((score ^ self.score) & self.score_known) | ((place ^ self.place) & self.place_known);
        let word = select(self.is_of_ids(pass), place, score);
        (differs == 0, (word >> self.shift(pass)) & (BINS - 1))
    }

    /// What is left of the limit for the items that share the known digits. More than 0, at most their measure.
    pub fn rest(self) -> Wide {
        self.rest.get()
    }

    /// Notes what a pass found.
    #[device]
    pub fn note(self, pass: Val<u32>, found: Found) {
        let of_ids = self.is_of_ids(pass);
        let (digit, mask) = (found.digit << self.shift(pass), val(BINS - 1) << self.shift(pass));
        self.score = self.score | select(of_ids, 0, digit);
        self.score_known = self.score_known | select(of_ids, 0, mask);
        self.place = self.place | select(of_ids, digit, 0);
        self.place_known = self.place_known | select(of_ids, mask, 0);
        self.rest.set(found.limit.minus(found.above));
    }

    /// The score, as far as it is known; lower digits are 0.
    pub fn score(self) -> Val<u32> {
        self.score.get()
    }

    /// The highest id that has what is known of it.
    pub fn id(self) -> Val<u32> {
        (MAX_VOCAB.get()) - self.place.get()
    }
}

/// The items that a search keeps: up to its last.
#[derive(Clone, Copy)]
pub struct Kept {
    score: Var<u32>,
    id: Var<u32>,
}

impl Kept {
    /// All.
    #[device]
    pub fn all() -> Self {
        let mut score = 0u32;
        let mut id = u32::MAX;
        Self { score, id }
    }

    /// Drops what comes after a score, and with `by_id`, of what has this score, what comes after an id.
    #[device]
    pub fn down_to(self, score: Val<u32>, by_id: impl Get<bool>, id: Val<u32>) {
        // ids of this score may have been dropped before
        let before = select(score == self.score, self.id, u32::MAX);
        self.id = select(by_id, id, before);
        self.score = score;
    }

    /// Whether an item is kept.
    #[device]
    pub fn holds(self, score: Val<u32>, id: Val<u32>) -> Val<bool> {
        let last = self.score.get();
        (score > last) | ((score == last) & (id <= self.id))
    }
}
