//! A thread's part of one row: its scores, and what becomes of them from page to page.

use tessera_tile::prelude::*;

use super::{AttendTile, SCORES, load::Shelf};
use crate::{attend::MASKED, sight::Seen, tables::PAGE};

/// Several neighbouring lanes have a row; each takes every so many quads of its scores.
pub(super) struct Own {
    lanes: u32,
    /// The row's place in the block.
    place: Val<u32>,
    /// The lane among those of the row.
    part: Val<u32>,
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
    fn largest(&self, scores: &[Score]) -> Val<f32> {
        let seen = scores.iter().map(|&(score, sees)| select(sees, score, MASKED));
        let largest = seen.reduce(|a, b| max(a, b)).expect("a thread has scores");
        self.together(largest, |a, b| max(a, b))
    }

    /// The row's sum.
    fn sum(&self, x: Val<f32>) -> Val<f32> {
        self.together(x, |a, b| a + b)
    }

    /// Sets the weights of the thread's scores; gives their sum.
    fn set_weights(&self, shelf: &Shelf, scores: &[Score], reference: Val<f32>) -> Val<f32> {
        let weight = |&(score, sees): &Score| select(sees, exp(score - reference), 0.0);
        let weights: Vec<_> = scores.iter().map(weight).collect();
        for (key, four) in self.quads().into_iter().zip(weights.chunks(4)) {
            shelf.weights.put(self.place, key, four);
        }
        weights.into_iter().reduce(|a, b| a + b).expect("a thread has scores")
    }
}

/// A row's weights are `exp(score - reference)`; the reference follows the largest score when that is so much larger.
const SLACK: f32 = 8.0;

/// A row's softmax, as far as pages have come.
pub(super) struct Softmax<'a> {
    own: &'a Own,
    reference: Var<f32>,
    /// Sum of the thread's weights.
    total: Var<f32>,
}

impl<'a> Softmax<'a> {
    #[device]
    pub fn new(own: &'a Own) -> Self {
        let mut reference = MASKED;
        let mut total = 0.0;
        Self { own, reference, total }
    }

    /// Takes a page's scores: sets their weights, and the factors of what was added up before. Whether any of these is not 1
    /// is told to all threads, which come together here.
    #[device]
    pub fn take(&self, shelf: &Shelf, scores: &[Score]) -> Val<bool> {
        let largest = self.own.largest(scores);
        let grows = largest > self.reference + SLACK;
        let reference = select(grows, largest, self.reference);
        let factor = select(grows, exp(self.reference - reference), 1.0);
        let sum = self.own.set_weights(shelf, scores, reference);
        self.total = fma(self.total, factor, sum);
        self.reference = reference;
        if self.own.part == 0 {
            shelf.factors.set(self.own.place, factor);
        }
        let grown = ballot(grows);
        if lane() == 0 {
            shelf.grown.set(simdgroup(), grown);
        }
        barrier();
        (1..simdgroups()).fold(shelf.grown.at(0), |all, i| all | shelf.grown.at(i)) != 0
    }

    /// Sets the factors that make results of sums; a sink takes its share. All threads come together here.
    #[device]
    pub fn finish(&self, shelf: &Shelf, sink: Option<Val<f32>>) {
        let (top, total) = (self.reference.get(), self.own.sum(self.total.get()));
        let factor = sink.map_or(1.0 / total, |sink| {
            let most = max(top, sink);
            let share = exp(top - most);
            share / fma(total, share, exp(sink - most))
        });
        if self.own.part == 0 {
            shelf.factors.set(self.own.place, factor);
        }
        barrier();
    }
}
