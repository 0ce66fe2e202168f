//! Recurrences with states in slots: all kernels of a step, against one token after the other in f64.

use std::{fmt::Debug, ops::Range};

use tessera_kernels::tables::NO_SLOT;
use tessera_tile::sim::Memory;

use super::{
    close, floats, random, read,
    steps::{SLOTS, Step, of, rows},
};

/// A recurrence of some shape, and how it is computed.
pub trait Recurrence: Debug {
    /// What rows are made of.
    type Inputs;

    /// Elements of a state.
    fn state_len(&self) -> usize;

    /// Something for so many rows.
    fn inputs(&self, rows: usize) -> Self::Inputs;

    /// Some of the rows.
    fn part(&self, inputs: &Self::Inputs, rows: Range<usize>) -> Self::Inputs;

    /// Runs all kernels of a step; gives its result.
    fn launch(&self, step: &Step, inputs: &Self::Inputs, state: &Memory) -> Vec<f32>;

    /// The result of a step in f64; `states` become what they are after it.
    fn reference(&self, step: &Step, inputs: &Self::Inputs, states: &mut [f32]) -> Vec<f32>;

    /// Compares results and states, which may differ by `near` times the largest.
    fn compare(&self, step: &Step, inputs: &Self::Inputs, mut states: Vec<f32>, near: f32) {
        let state = floats(&states);
        let y = self.launch(step, inputs, &state);
        let wanted = self.reference(step, inputs, &mut states);
        let what = format!("{self:?} {step:?}");
        close(&what, &y, &wanted, near);
        close(&what, &read(&state), &states, near);
    }

    /// The same with random inputs and states.
    fn check(&self, step: &Step, near: f32) {
        let inputs = self.inputs(rows(step) as usize);
        self.compare(step, &inputs, random(8, SLOTS * self.state_len()), near);
    }

    /// Checks that cuts at multiples of a chunk, and saves after each of a few tokens, change no bit.
    fn check_cuts(&self) {
        let inputs = self.inputs(135);
        let run = |cuts: &[(u32, &[(u32, u32)])]| {
            let state = floats(&vec![0.0; SLOTS * self.state_len()]);
            let mut done = 0;
            let mut y = Vec::new();
            for &(len, saves) in cuts {
                let slot = if done == 0 { NO_SLOT } else { 0 };
                let rows = self.part(&inputs, done as usize..(done + len) as usize);
                y.extend(self.launch(&vec![of(len, done, slot, 0, saves)], &rows, &state));
                done += len;
            }
            (y, read(&state)[..self.state_len()].to_vec())
        };
        let whole = run(&[(135, &[])]);
        assert_eq!(run(&[(64, &[]), (71, &[])]), whole);
        assert_eq!(run(&[(128, &[(64, 1)]), (3, &[]), (4, &[(1, 2), (2, 3), (3, 4)])]), whole);
    }
}
