//! The likeliest token.

use tessera_tile::prelude::*;

use crate::tables::FAILED;

/// [`rank`] of minus infinity; of what is not allowed it is 0.
const IMPOSSIBLE: u32 = 0x007f_ffff;
/// [`rank`] of plus infinity.
pub const INFINITE: u32 = 0xff80_0000;
/// [`rank`] of NaN.
const BROKEN: u32 = u32::MAX;

/// A number that is larger for larger `x`, the same for both zeros, and largest for NaN.
#[device]
pub fn rank(x: Val<f32>) -> Val<u32> {
    let bits = x.bits();
    let bits = select(bits == 0x8000_0000, 0, bits);
    let order = select(bits >> 31 == 0, bits | 0x8000_0000, !bits);
    let size = bits & 0x7fff_ffff;
    select(size > 0x7f80_0000, BROKEN, order)
}

/// The logit of a rank.
#[device]
pub fn unrank(rank: Val<u32>) -> Val<f32> {
    select(rank >> 31 == 1, rank & 0x7fff_ffff, !rank).as_float()
}

/// A token and its [`rank`], or 0 if it is not allowed.
#[derive(Clone, Copy)]
pub struct Best {
    /// Its logit's rank.
    pub rank: Val<u32>,
    /// Its id.
    pub token: Val<u32>,
}

impl Best {
    /// Whether nothing can be drawn.
    #[device]
    pub fn failed(self) -> Val<bool> {
        (self.rank >= INFINITE) | (self.rank <= IMPOSSIBLE)
    }

    /// It, or that there is none.
    pub fn or_failed(self) -> Val<u32> {
        select(self.failed(), FAILED, self.token)
    }
}

/// The better of those seen, in two variables.
#[derive(Clone, Copy)]
pub struct Search {
    rank: Var<u32>,
    token: Var<u32>,
}

impl Search {
    /// Has seen nothing.
    #[device]
    pub fn new() -> Self {
        let mut rank = 0u32;
        let mut token = u32::MAX;
        Self { rank, token }
    }

    /// Sees one more.
    #[device]
    pub fn see(self, other: Best) {
        let rank = self.rank.get();
        let (higher, equal) = (other.rank > rank, other.rank == rank);
        let better = higher | (equal & (other.token < self.token));
        self.rank = select(better, other.rank, rank);
        self.token = select(better, other.token, self.token);
    }

    /// The best of all that the threadgroup's threads have seen, the same for all of them; of equals the lowest id.
    #[device]
    pub fn of_group(self) -> Best {
        let (ranks, tokens) =
            (shared::<U32>("best_ranks", simdgroups()), shared::<U32>("best_tokens", simdgroups()));
        let rank = simd_max(self.rank);
        let token = simd_min(select(self.rank == rank, self.token, u32::MAX));
        if lane() == 0 {
            ranks.set(simdgroup(), rank);
            tokens.set(simdgroup(), token);
        }
        barrier();
        let all = Self::new();
        for i in 0..simdgroups() {
            all.see(Best { rank: ranks.at(i), token: tokens.at(i) });
        }
        Best { rank: all.rank.get(), token: all.token.get() }
    }
}

/// The likeliest token of row `row`, of its blocks'. `parts` is `[draws, blocks, 2]`: rank and id.
#[device]
pub fn of_blocks(parts: In<U32>, row: Val<u32>, blocks: Val<u32>) -> Best {
    let best = Search::new();
    for i in (thread()..blocks).step_by(threads()) {
        let [rank, token] = parts.load::<2>((row * blocks + i) * 2);
        best.see(Best { rank, token });
    }
    best.of_group()
}
