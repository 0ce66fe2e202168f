//! A histogram in shared memory: measures of items by a digit, and the digit at which a limit is reached.

use tessera_tile::prelude::*;

use super::wide::{Sum, Wide, atomic_add_wide};

/// Bits of a digit.
pub const DIGIT: u32 = 10;
/// Digits there are.
pub const BINS: u32 = 1 << DIGIT;

/// The histogram. Between two uses it is empty.
#[derive(Clone, Copy)]
pub struct Bins {
    low: Shared<U32>,
    high: Shared<U32>,
    /// Sums of simdgroups.
    parts: [Shared<U32>; 2],
    found: Shared<U32>,
}

/// The digit at which a limit is reached, counted from the highest.
#[derive(Clone, Copy)]
pub struct Found {
    /// The digit.
    pub digit: Val<u32>,
    /// Measure of what has a higher one.
    pub above: Wide,
    /// Measure of what has this one.
    pub here: Wide,
    /// The limit, at most the measure of all.
    pub limit: Wide,
}

impl Bins {
    /// An empty one; a barrier must come before anything is added.
    #[device]
    pub fn new() -> Self {
        let bins = Self {
            low: shared::<U32>("bins_low", BINS),
            high: shared::<U32>("bins_high", BINS),
            parts: [shared::<U32>("parts_low", LANES), shared::<U32>("parts_high", LANES)],
            found: shared::<U32>("found", 8),
        };
        for i in (thread()..BINS.get()).step_by(threads()) {
            bins.set(i, Wide::of(0u32));
        }
        bins
    }

    /// What is in a bin.
    pub fn at(self, digit: impl Get<u32>) -> Wide {
        let digit = digit.get();
        Wide { high: self.high.at(digit), low: self.low.at(digit) }
    }

    /// Sets a bin.
    pub fn set(self, digit: impl Get<u32>, to: Wide) {
        let digit = digit.get();
        self.low.set(digit, to.low);
        self.high.set(digit, to.high);
    }

    /// Adds each lane's measure where it counts. All lanes of the simdgroup come here.
    #[device]
    pub fn add(self, counts: Val<bool>, digit: Val<u32>, measure: Wide) {
        let who = ballot(counts);
        if who != 0 {
            let first = 31u32.get() - leading_zeros(who & (0u32 - who));
            let common = shuffle(digit, first);
            // neighbours often share a bin, and would wait for each other there
            if ballot(counts & (digit != common)) == 0 {
                let sum = Wide::select(counts, measure, Wide::of(0u32)).simd_sum();
                if lane() == first {
                    self.add_one(digit, sum);
                }
            } else {
                if counts {
                    self.add_one(digit, measure);
                }
            }
        }
    }

    /// Adds to one bin.
    fn add_one(self, digit: Val<u32>, measure: Wide) {
        atomic_add_wide((self.low, digit), (self.high, digit), measure);
    }

    /// Where the limit is reached, going down from the highest digit; empties the histogram. Comes after a barrier,
    /// and is one itself. `limit` is told the measure of all, which its result must not exceed.
    #[device]
    pub fn find(self, limit: impl FnOnce(Wide) -> Wide) -> Found {
        let each = BINS / threads();
        // the thread's own, from its highest down
        let digits: Vec<_> = (0..each).map(|i| (BINS - 1) - (thread() * each + i)).collect();
        let measures: Vec<_> = digits.iter().map(|&digit| self.at(digit)).collect();
        let own = measures.iter().copied().reduce(Wide::plus).expect("a thread has bins");
        let before = own.simd_prefix_sum();
        let [low, high] = self.parts;
        if lane() == 31 {
            let sum = before.plus(own);
            low.set(simdgroup(), sum.low);
            high.set(simdgroup(), sum.high);
        }
        for &digit in &digits {
            self.set(digit, Wide::of(0u32));
        }
        barrier();
        // the same again, over simdgroups
        let there = lane() < simdgroups();
        let place = select(there, lane(), 0);
        let part = Wide { high: high.at(place), low: low.at(place) };
        let part = Wide::select(there, part, Wide::of(0u32));
        let limit = limit(part.simd_sum());
        let above = Sum::zero();
        above.set(part.simd_prefix_sum().shuffle(simdgroup()).plus(before));
        for (&digit, &here) in digits.iter().zip(&measures) {
            let up_to = above.get().plus(here);
            if above.get().below(limit) & !up_to.below(limit) {
                let above = above.get();
                let words =
                    [above.high, above.low, here.high, here.low, limit.high, limit.low, digit];
                for (i, &word) in words.iter().enumerate() {
                    self.found.set(i as u32, word);
                }
            }
            above.set(up_to);
        }
        barrier();
        let wide = |i: u32| Wide { high: self.found.at(i), low: self.found.at(i + 1) };
        Found { digit: self.found.at(6), above: wide(0), here: wide(2), limit: wide(4) }
    }
}
