//! A thread's part of one row's scores.

use tessera_tile::prelude::*;

use super::{AttendTile, SCORES, Shelf};
use crate::{attend::MASKED, sight::Seen, tables::PAGE};

/// Several neighbouring lanes have a row; each takes every so many quads of its scores.
pub(super) struct Own {
    lanes: u32,
    /// The row's place in the block.
    pub place: Val<u32>,
    /// The lane among those of the row.
    pub part: Val<u32>,
    /// The row it stands for: the block's last, if there are fewer.
    pub row: Val<u32>,
}

/// A score, and whether its position is seen.
pub(super) type Score = (Val<f32>, Val<bool>);

impl Own {
    pub fn new(k: &AttendTile, count: Val<u32>) -> Self {
        let lanes = threads() / k.rows;
        let place = thread() / lanes;
        Self { lanes, place, part: thread() % lanes, row: min(place, count - 1) }
    }

    /// First key of each of the thread's quads.
    fn quads(&self) -> Vec<Val<u32>> {
        (0..PAGE / 4 / self.lanes).map(|i| (self.part + i * self.lanes) * 4).collect()
    }

    /// The thread's scores of the page that begins at `position`.
    pub fn scores(
        &self,
        shelf: &Shelf,
        seen: &Seen,
        position: Val<u32>,
        scale: Val<f32>,
        cap: Option<Val<f32>>,
    ) -> Vec<Score> {
        let mut scores = Vec::new();
        for key in self.quads() {
            let four = shelf.scores.load::<4>(self.place * SCORES + key);
            for (j, x) in (0u32..).zip(four) {
                let score = x * scale;
                let score = cap.map_or(score, |cap| tanh(score / cap) * cap);
                scores.push((score, seen.sees(position + key + j)));
            }
        }
        scores
    }

    /// Of all the row's lanes, by `join` of two.
    fn together(&self, x: Val<f32>, join: impl Fn(Val<f32>, Val<f32>) -> Val<f32>) -> Val<f32> {
        let steps = 0..self.lanes.trailing_zeros();
        steps.fold(x, |x, step| join(x, shuffle_xor(x, 1 << step)))
    }

    /// The row's largest score of those seen, or [`MASKED`].
    pub fn largest(&self, scores: &[Score]) -> Val<f32> {
        let seen = scores.iter().map(|&(score, sees)| select(sees, score, MASKED));
        let largest = seen.reduce(|a, b| max(a, b)).expect("a thread has scores");
        self.together(largest, |a, b| max(a, b))
    }

    /// The row's sum.
    pub fn sum(&self, x: Val<f32>) -> Val<f32> {
        self.together(x, |a, b| a + b)
    }

    /// Sets the weights of the thread's scores; gives their sum.
    pub fn set_weights(&self, shelf: &Shelf, scores: &[Score], reference: Val<f32>) -> Val<f32> {
        let weight = |&(score, sees): &Score| select(sees, exp(score - reference), 0.0);
        let weights: Vec<_> = scores.iter().map(weight).collect();
        for (key, four) in self.quads().into_iter().zip(weights.chunks(4)) {
            shelf.weights.put(self.place, key, four);
        }
        weights.into_iter().reduce(|a, b| a + b).expect("a thread has scores")
    }
}
