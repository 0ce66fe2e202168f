//! Sums of 64 bits, as two words.

use tessera_tile::prelude::*;

/// Two to the 32nd.
const WORD: f32 = 4_294_967_296.0;

/// A number of 64 bits, unsigned. Weights are multiples of 2^-44.
#[derive(Clone, Copy)]
pub struct Wide {
    /// Upper half.
    pub high: Val<u32>,
    /// Lower half.
    pub low: Val<u32>,
}

impl Wide {
    /// A number of 32 bits.
    pub fn of(low: impl Get<u32>) -> Self {
        Self { high: val(0), low: low.get() }
    }

    /// A weight in 0..=1, rounded down.
    pub fn weight(weight: Val<f32>) -> Self {
        let scaled = weight * 4096.0;
        let high = scaled.u32();
        Self { high, low: ((scaled - high.f32()) * WORD).u32() }
    }

    /// Whether it is 0.
    #[device]
    pub fn is_zero(self) -> Val<bool> {
        let bits = self.high | self.low;
        bits == 0
    }

    /// The weight, rounded.
    pub fn f32(self) -> Val<f32> {
        fma(self.high.f32(), 1.0 / 4096.0, self.low.f32() * (1.0 / 4096.0 / WORD))
    }

    /// The sum.
    #[device]
    pub fn plus(self, other: Self) -> Self {
        let low = self.low + other.low;
        Self { high: self.high + other.high + (low < other.low).u32(), low }
    }

    /// The difference, which is not negative.
    #[device]
    pub fn minus(self, other: Self) -> Self {
        let low = self.low - other.low;
        Self { high: self.high - other.high - (self.low < other.low).u32(), low }
    }

    /// Whether it is smaller.
    #[device]
    pub fn below(self, other: Self) -> Val<bool> {
        (self.high < other.high) | ((self.high == other.high) & (self.low < other.low))
    }

    /// `a` where `condition` holds, else `b`.
    pub fn select(condition: Val<bool>, a: Self, b: Self) -> Self {
        Self { high: select(condition, a.high, b.high), low: select(condition, a.low, b.low) }
    }

    /// Of its product with `fraction / 2^32`, the whole part, and whether there is more.
    #[device]
    pub fn part(self, fraction: Val<u32>) -> (Self, Val<bool>) {
        let (upper, lower) = (multiply(self.high, fraction), multiply(self.low, fraction));
        (upper.plus(Self::of(lower.high)), lower.low != 0)
    }

    /// The sum over a simdgroup, with `combine` adding words: carries are put in afterwards.
    fn limbs(self, combine: impl Fn(Val<u32>) -> Val<u32>) -> Self {
        let (low, middle) = (combine(self.low & 0xffff), combine(self.low >> 16));
        let middle = middle + (low >> 16);
        let high = combine(self.high) + (middle >> 16);
        Self { high, low: (middle << 16) | (low & 0xffff) }
    }

    /// The sum over a simdgroup.
    pub fn simd_sum(self) -> Self {
        self.limbs(simd_sum)
    }

    /// The sum over the lanes before this one.
    pub fn simd_prefix_sum(self) -> Self {
        self.limbs(simd_prefix_sum)
    }

    /// What `lane` has.
    pub fn shuffle(self, lane: Val<u32>) -> Self {
        Self { high: shuffle(self.high, lane), low: shuffle(self.low, lane) }
    }
}

/// A number in 0..1 as a multiple of 2^-32, rounded down.
pub fn fraction(x: Val<f32>) -> Val<u32> {
    (max(x, 0.0) * WORD).u32()
}

/// The product of two words.
fn multiply(a: Val<u32>, b: Val<u32>) -> Wide {
    let (a_high, a_low) = (a >> 16, a & 0xffff);
    let (b_high, b_low) = (b >> 16, b & 0xffff);
    let low = a_low * b_low;
    let middle = a_high * b_low + (low >> 16);
    let other = a_low * b_high + (middle & 0xffff);
    let high = a_high * b_high + (middle >> 16) + (other >> 16);
    Wide { high, low: (other << 16) | (low & 0xffff) }
}

/// A sum that is added to, in two variables.
#[derive(Clone, Copy)]
pub struct Sum {
    high: Var<u32>,
    low: Var<u32>,
}

impl Sum {
    /// Nothing.
    #[device]
    pub fn zero() -> Self {
        let mut high = 0u32;
        let mut low = 0u32;
        Self { high, low }
    }

    /// What it is now.
    pub fn get(self) -> Wide {
        Wide { high: self.high.get(), low: self.low.get() }
    }

    /// Makes it something else.
    #[device]
    pub fn set(self, to: Wide) {
        self.high = to.high;
        self.low = to.low;
    }

    /// Adds.
    pub fn add(self, x: Wide) {
        self.set(self.get().plus(x));
    }
}

/// Adds to two words of memories, the lower and the upper half, whoever else does.
#[device]
pub fn atomic_add_wide<M: Atomic<u32>>(low: (M, Val<u32>), high: (M, Val<u32>), x: Wide) {
    let before = atomic_add(low.0, low.1, x.low);
    // the sum of lower halves went beyond 32 bits
    let more = x.high + (before > !x.low).u32();
    if more != 0 {
        atomic_add(high.0, high.1, more);
    }
}

/// The sum over a threadgroup, for its first thread only. `names` are those of two shared arrays it uses.
#[device]
pub fn group_sum(names: [&'static str; 2], x: Wide) -> Wide {
    let (low, high) =
        (shared::<U32>(names[0], simdgroups()), shared::<U32>(names[1], simdgroups()));
    let sum = x.simd_sum();
    if lane() == 0 {
        low.set(simdgroup(), sum.low);
        high.set(simdgroup(), sum.high);
    }
    barrier();
    let total = Sum::zero();
    for i in 0..simdgroups() {
        total.add(Wide { high: high.at(i), low: low.at(i) });
    }
    total.get()
}
