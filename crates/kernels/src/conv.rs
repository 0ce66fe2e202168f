//! Causal convolution of each channel by itself.
//!
//! Version 1: a thread makes a channel of `rows` rows of a run, its window in registers. Inputs before the first come from
//! `x`, or from the slot at the beginning of a run. The threads at the beginning also write the saves, so that nobody reads a
//! slot that another writes.

use tessera_graph::Activation;
use tessera_tile::prelude::*;

use crate::{
    check::ensure,
    tables::{NO_SLOT, run, save},
    unit,
};

/// `y[t] = activation(bias + sum over j of weight[j] x[t - kernel + 1 + j])`, as the graph's operation `Conv`.
///
/// `runs` and `saves` are [tables](crate::tables); `x` and `y` are `[rows, channels]` and not the same, `weight` is
/// `[channels, kernel]`, `bias` `[channels]`, `state` `[slots, kernel - 1, channels]`: the last inputs, the oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Name)]
pub struct Conv {
    /// Inputs of an output, 2 to [`MAX_KERNEL`].
    pub kernel: u32,
    /// Whether there is a bias.
    pub bias: bool,
    /// What becomes of the sum.
    #[name(|activation| activation.map(unit::name))]
    pub activation: Option<Activation>,
    /// Rows of a thread, at least `kernel - 1`.
    pub rows: u32,
    /// Threads, and so channels, of a threadgroup.
    pub threads: u32,
}

/// Inputs of an output at most.
pub const MAX_KERNEL: u32 = 8;

/// Scalars of [`Conv`].
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct ConvArgs {
    /// Channels.
    pub channels: u32,
    /// Runs.
    pub runs: u32,
    /// Rows of the longest run.
    pub longest: u32,
}

impl Spec for Conv {
    type Args = ConvArgs;

    fn threads(&self) -> u32 {
        self.threads
    }

    fn grid(&self, a: &ConvArgs) -> [u32; 3] {
        [a.channels.div_ceil(self.threads), a.runs, a.longest.div_ceil(self.rows)]
    }

    fn check(&self, a: &ConvArgs) -> Result<(), String> {
        let &Self { kernel, rows, .. } = self;
        let known = (2..=MAX_KERNEL).contains(&kernel);
        ensure!(known, "a convolution of {kernel}, not 2 to {MAX_KERNEL}");
        ensure!(rows + 1 >= kernel, "{rows} rows at a time of a window of {kernel}");
        ensure!(a.channels > 0, "no channels");
        Ok(())
    }
}

#[kernel]
fn conv(
    k: &Conv,
    runs: In<U32>,
    saves: In<U32>,
    x: In<F32>,
    weight: In<F32>,
    #[when(k.bias)] bias: Option<In<F32>>,
    state: InOut<F32>,
    y: Out<F32>,
    a: Args<ConvArgs>,
) {
    let of_run = group(1) * run::WORDS;
    let len = runs.at(of_run + run::LEN);
    let c = group(0) * threads() + thread();
    let first = group(2) * k.rows;
    if (c < a.channels) & (first < len) {
        let before = k.kernel - 1;
        let row = runs.at(of_run + run::ROW);
        let slot = runs.at(of_run + run::SLOT);
        let input = |t: Val<u32>| x.at((row + t) * a.channels + c);
        let place = |slot: Val<u32>, i: Val<u32>| (slot * before + i) * a.channels + c;
        let weights: Vec<_> = (0..k.kernel).map(|j| weight.at(c * k.kernel + j)).collect();
        let mut seen = vec![0.0; before as usize];
        for j in 0..before {
            if group(2) > 0 {
                seen[j as usize] = input(first + j - before);
            } else if slot != NO_SLOT {
                seen[j as usize] = state.at(place(slot, val(j)));
            }
        }
        for t in first..min(first + k.rows, len) {
            let now = input(t);
            let mut sum = bias.map_or(val(0.0), |bias| bias.at(c));
            for j in 0..before as usize {
                sum = fma(weights[j], seen[j], sum);
            }
            let sum = fma(weights[before as usize], now, sum);
            let made = k.activation.map_or(sum, |f| unit::activate(f, sum));
            y.set((row + t) * a.channels + c, made);
            for j in 1..before as usize {
                seen[j - 1] = seen[j];
            }
            seen[before as usize - 1] = now;
        }
        if group(2) == 0 {
            let first_save = runs.at(of_run + run::SAVES);
            for i in first_save..first_save + runs.at(of_run + run::SAVE_COUNT) {
                let after = saves.at(i * save::WORDS + save::AFTER);
                let to = saves.at(i * save::WORDS + save::SLOT);
                for j in 0..before {
                    // of the slot's inputs and the run's; where the slot is written too, later ones are still there
                    let from = after + j;
                    if from >= before {
                        state.set(place(to, val(j)), input(from - before));
                    } else if slot == NO_SLOT {
                        state.set(place(to, val(j)), 0.0);
                    } else {
                        state.set(place(to, val(j)), state.at(place(slot, from)));
                    }
                }
            }
        }
    }
}
