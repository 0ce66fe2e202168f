//! Causal convolution of each channel by itself.

use std::ops::Range;

use tessera_graph::Activation;

use super::{
    math::{activate, load_some, store_some},
    small::Matrix,
};
use crate::{
    isa::{Isa, Kernel, LANES},
    recur::Stretch,
};

/// A convolution, its weights laid out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conv {
    /// `[kernel, channels]`.
    pub weight: *const f32,
    /// `[channels]`, or null.
    pub bias: *const f32,
    pub activation: Option<Activation>,
    pub channels: usize,
    /// Inputs that an output sees, its own included.
    pub kernel: usize,
}

/// Some channels of a convolution over a stretch.
pub(crate) struct Convolve<'a> {
    pub conv: &'a Conv,
    pub stretch: Stretch,
    /// Vectors of channels.
    pub vectors: Range<usize>,
    /// `[len, channels]`.
    pub x: Matrix,
    /// `[len, channels]`.
    pub out: *mut f32,
}

/// Vectors of sums at a time: enough to hide the latency of sums.
const WIDTH: usize = 4;

impl Kernel for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        // SAFETY: passed on.
        unsafe {
            let (mut first, last) = (self.vectors.start, self.vectors.end);
            for t in 0..self.stretch.len {
                while first + WIDTH <= last && (first + WIDTH) * LANES <= self.conv.channels {
                    self.outputs::<S, WIDTH>(t, first);
                    first += WIDTH;
                }
                while first < last {
                    self.outputs::<S, 1>(t, first);
                    first += 1;
                }
                first = self.vectors.start;
            }
            self.save();
        }
    }
}

impl Convolve<'_> {
    /// Where the inputs of the token `back` tokens before `t` are; null before the sequence.
    #[inline(always)]
    fn input(&self, t: usize, back: usize) -> *const f32 {
        let Stretch { from, .. } = self.stretch;
        match t.checked_sub(back) {
            Some(t) => self.x.at(t, 0),
            None if from.is_null() => from,
            // the newest input of the window is one token before the stretch
            None => from.wrapping_add((self.conv.kernel - 1 + t - back) * self.conv.channels),
        }
    }

    /// # Safety
    /// The vectors are there; only with `V` = 1 may the last be partly beyond the channels.
    #[inline(always)]
    unsafe fn outputs<S: Isa, const V: usize>(&self, t: usize, first: usize) {
        let Conv { weight, bias, activation, channels, kernel } = *self.conv;
        let at = first * LANES;
        let here = if V == 1 { LANES.min(channels - at) } else { LANES };
        // SAFETY: `here` channels of each vector, of rows that are there.
        unsafe {
            let mut sums = [S::splat(0.0); V];
            if !bias.is_null() {
                for v in 0..V {
                    sums[v] = load_some::<S>(bias.add(at + v * LANES), here);
                }
            }
            for j in 0..kernel {
                let (weight, x) = (weight.add(j * channels + at), self.input(t, kernel - 1 - j));
                for v in 0..V {
                    // zeros are multiplied too, so that a zero's sign is the same in any cut
                    let x = if x.is_null() {
                        S::splat(0.0)
                    } else {
                        load_some::<S>(x.add(at + v * LANES), here)
                    };
                    sums[v] = S::fma(x, load_some::<S>(weight.add(v * LANES), here), sums[v]);
                }
            }
            for v in 0..V {
                let y = match activation {
                    Some(f) => activate::<S>(f, sums[v]),
                    None => sums[v],
                };
                store_some::<S>(self.out.add(t * channels + at + v * LANES), y, here);
            }
        }
    }

    /// Saves the last inputs. Oldest first, so that a window may be moved within its slot.
    ///
    /// # Safety
    /// All outputs have been computed.
    unsafe fn save(&self) {
        let Conv { channels, kernel, .. } = *self.conv;
        let Range { start, end } = self.vectors;
        let (at, n) = (start * LANES, (end * LANES).min(channels) - start * LANES);
        for i in 0..kernel - 1 {
            let x = self.input(self.stretch.len, kernel - 1 - i);
            let to = self.stretch.to.wrapping_add(i * channels + at);
            // SAFETY: `n` channels of rows that are there; the one read is newer than the one written.
            unsafe {
                if x.is_null() {
                    to.write_bytes(0, n);
                } else {
                    std::ptr::copy_nonoverlapping(x.add(at), to, n);
                }
            }
        }
    }
}
