//! Drawing a token from logits without sorting the vocabulary.
//!
//! Floats have bit patterns that can be [ordered](order) as they are: top-k and top-p find their threshold by a histogram of the upper bits, then refine it within one
//! bin, twice. "The fewest most likely tokens whose measure reaches a limit" is top-k when each token
//! measures 1, and top-p when it measures its weight.

use tessera_graph::{Sampled, Sampling, TokenCount, random};

use super::math::{exp, map};
use crate::isa::{Isa, Kernel, LANES, Level};

/// Bins of a histogram.
const BINS: usize = 2048;
/// Shifts and masks of the three levels of bins: 11, 11 and 10 bits.
const LEVELS: [(u32, u32); 3] = [(21, 0x7ff), (10, 0x7ff), (0, 0x3ff)];

/// A number that is larger for larger `x`.
fn order(x: f32) -> u32 {
    // adding zero makes both zeros one
    let bits = (x + 0.0).to_bits();
    if bits >> 31 == 0 { bits | 1 << 31 } else { !bits }
}

/// Working memory of one thread.
pub(crate) struct Scratch {
    logits: Vec<f32>,
    weights: Vec<f32>,
    kept: Vec<u32>,
    bins: Vec<f64>,
}

impl Scratch {
    /// For a vocabulary of `vocab` tokens.
    pub fn new(vocab: usize) -> Self {
        Self {
            logits: vec![0.0; vocab],
            weights: vec![0.0; vocab],
            kept: Vec::with_capacity(vocab),
            bins: vec![0.0; BINS],
        }
    }

    /// Draws from `logits` into `out`.
    ///
    /// # Safety
    /// `level` is available.
    pub unsafe fn sample(
        &mut self,
        level: Level,
        logits: &[f32],
        sampling: &Sampling,
        history: &[TokenCount],
        position: u32,
        out: &mut Sampled,
    ) {
        out.top.clear();
        out.logprob = 0.0;
        let adjusted = if sampling.bias.is_empty() && history.is_empty() {
            logits
        } else {
            self.logits.copy_from_slice(logits);
            adjust(&mut self.logits, sampling, history);
            &self.logits
        };
        // SAFETY: the level is the caller's to vouch for; slices are whole.
        let largest = unsafe { level.run(Largest(adjusted)) };
        out.failed = !largest.is_finite();
        if out.failed {
            out.token = 0;
            return;
        }
        out.token = if sampling.temperature > 0.0 {
            self.weights.resize(adjusted.len(), 0.0);
            let (scale, out) = (1.0 / sampling.temperature, &mut self.weights[..]);
            // SAFETY: as above; both slices have one element a token.
            unsafe { level.run(Exp { logits: adjusted, largest, scale, out }) };
            self.draw(sampling, random::uniform(sampling.seed, position))
        } else {
            first_equal(adjusted, largest)
        };
        if sampling.logprobs || sampling.top_logprobs > 0 {
            // SAFETY: as above.
            unsafe { self.report(level, logits, sampling.top_logprobs as usize, out) };
        }
    }

    /// Keeps by top-k, top-p and min-p, then walks the kept weights in order of id.
    fn draw(&mut self, sampling: &Sampling, u: f32) -> u32 {
        let mut all = true;
        if sampling.top_k > 0 && (sampling.top_k as usize) < self.weights.len() {
            self.keep_top(all, |_| 1.0, f64::from(sampling.top_k));
            all = false;
        }
        if sampling.top_p < 1.0 {
            let total: f64 = if all {
                self.weights.iter().map(|&w| f64::from(w)).sum()
            } else {
                self.kept.iter().map(|&id| f64::from(self.weights[id as usize])).sum()
            };
            self.keep_top(all, f64::from, f64::from(sampling.top_p.max(0.0)) * total);
            all = false;
        }
        if all {
            self.kept.clear();
            self.kept.extend(0..self.weights.len() as u32);
        }
        let weight = |id: u32| f64::from(self.weights[id as usize]);
        // the largest weight is 1, so this keeps at least that token
        let min = f64::from(sampling.min_p.min(1.0));
        let kept = || self.kept.iter().copied().filter(|&id| weight(id) >= min);
        let target = f64::from(u) * kept().map(weight).sum::<f64>();
        let mut sum = 0.0;
        let mut last = 0;
        for id in kept() {
            sum += weight(id);
            if weight(id) > 0.0 {
                last = id;
            }
            if sum > target {
                return id;
            }
        }
        last
    }

    /// Leaves in `kept`, in order of id, the fewest tokens of largest weight whose measures reach `limit`;
    /// equal weights go to the lowest ids. Starts from all tokens, or from those kept so far.
    fn keep_top(&mut self, all: bool, measure: impl Fn(f32) -> f64, limit: f64) {
        let Self { weights, kept, bins, .. } = self;
        // a limit of zero is reached by the first token, not before it
        let limit = limit.max(f64::MIN_POSITIVE);
        let mut above = 0.0; // measure of tokens certainly kept
        let mut prefix = 0u32; // upper bits of the threshold, as far as known
        let mut known = 0u32; // which bits those are
        for (level, (shift, mask)) in LEVELS.into_iter().enumerate() {
            bins.fill(0.0);
            let mut count = |w: f32| {
                let bits = order(w);
                if bits & known == prefix {
                    bins[(bits >> shift & mask) as usize] += measure(w);
                }
            };
            if all && level == 0 {
                weights.iter().for_each(|&w| count(w));
            } else {
                kept.iter().for_each(|&id| count(weights[id as usize]));
            }
            let mut bin = BINS - 1;
            while bin > 0 && above + bins[bin] < limit {
                above += bins[bin];
                bin -= 1;
            }
            prefix |= (bin as u32) << shift;
            known |= mask << shift;
            // drop what is certainly out
            if all && level == 0 {
                kept.clear();
                kept.extend(
                    (0..weights.len() as u32).filter(|&id| order(weights[id as usize]) >= prefix),
                );
            } else {
                kept.retain(|&id| order(weights[id as usize]) >= prefix);
            }
        }
        // the threshold is exact now: of its equals, keep as many as the limit needs
        kept.retain(|&id| {
            let w = weights[id as usize];
            if order(w) > prefix {
                return true;
            }
            let needed = above < limit;
            above += measure(w);
            needed
        });
    }

    /// Log probabilities under the unmodified logits.
    ///
    /// # Safety
    /// `level` is available.
    unsafe fn report(&mut self, level: Level, logits: &[f32], top: usize, out: &mut Sampled) {
        // SAFETY: the level is the caller's to vouch for; slices have one element a token.
        let largest = unsafe {
            let largest = level.run(Largest(logits));
            level.run(Exp { logits, largest, scale: 1.0, out: &mut self.weights });
            largest
        };
        let sum: f64 = self.weights.iter().map(|&w| f64::from(w)).sum();
        let log_sum = f64::from(largest) + sum.ln();
        let log = |id: u32| (f64::from(logits[id as usize]) - log_sum) as f32;
        out.logprob = log(out.token);
        if top > 0 {
            // by the logits themselves: the weights of unlikely tokens are all zero
            self.weights.copy_from_slice(logits);
            self.keep_top(true, |_| 1.0, top.min(logits.len()) as f64);
            out.top.extend(self.kept.iter().map(|&id| (id, log(id))));
            out.top.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        }
    }
}

/// Bias, then repetition, presence and frequency penalties.
fn adjust(logits: &mut [f32], sampling: &Sampling, history: &[TokenCount]) {
    for &(id, bias) in &sampling.bias {
        if let Some(x) = logits.get_mut(id as usize) {
            *x += bias;
        }
    }
    for count in history {
        let Some(x) = logits.get_mut(count.token as usize) else { continue };
        if *x > 0.0 {
            *x /= sampling.repetition_penalty;
        } else {
            *x *= sampling.repetition_penalty;
        }
        if count.generated > 0 {
            *x -= sampling.presence_penalty + sampling.frequency_penalty * count.generated as f32;
        }
    }
}

/// Index of the first element equal to `x`.
fn first_equal(values: &[f32], x: f32) -> u32 {
    values.iter().position(|&v| v == x).unwrap_or(0) as u32
}

/// The largest element; NaN or infinite if any element is NaN or plus infinity.
struct Largest<'a>(&'a [f32]);

impl Kernel for Largest<'_> {
    type Output = f32;

    #[inline(always)]
    unsafe fn run<S: Isa>(self) -> f32 {
        let values = self.0;
        // SAFETY: vectors lie within the slice; a short tail is compared one by one.
        unsafe {
            let mut top = S::splat(f32::NEG_INFINITY);
            // x * 0 is 0 for finite x, NaN for others: sums to NaN if there is one
            let mut check = S::splat(0.0);
            let whole = values.len() / LANES * LANES;
            for i in (0..whole).step_by(LANES) {
                let v = S::load(values.as_ptr().add(i));
                top = S::max(v, top);
                check = S::fma(v, S::splat(0.0), check);
            }
            let mut largest = S::largest(top);
            let mut bad = S::sum(check);
            for &v in &values[whole..] {
                largest = largest.max(v);
                bad += v * 0.0;
            }
            largest + bad
        }
    }
}

/// `out = e^((logit - largest) * scale)`.
struct Exp<'a> {
    logits: &'a [f32],
    largest: f32,
    scale: f32,
    out: &'a mut [f32],
}

impl Kernel for Exp<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        let n = self.logits.len().min(self.out.len());
        // SAFETY: both slices hold `n` elements.
        unsafe {
            let (top, scale) = (S::splat(self.largest), S::splat(self.scale));
            map::<S>(self.logits.as_ptr(), self.out.as_mut_ptr(), n, |_, x| {
                exp::<S>(S::mul(S::sub(x, top), scale))
            });
        }
    }
}
