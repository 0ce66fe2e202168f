//! Weights that are copied ahead of the multiplications, through slots of shared memory, as they lie in the matrix. Each thread
//! takes apart what it copied itself. What is said of their groups, and the vectors, come a block ahead in registers.

use tessera_tile::{
    flow::{Assign, Mutable},
    prelude::*,
};

use super::load::{Operands, Place, Source, stage};
use crate::{
    codes::{Copied, STEP},
    stage::{PART, share},
};

/// Slots at most.
pub(super) const MOST: u32 = 3;

/// What is ahead.
pub(super) struct Ahead<'a> {
    source: &'a Source<'a>,
    places: Vec<Place>,
    copied: Copied,
    /// Values of each of the thread's pieces of vectors.
    vectors: Vec<Vec<Var<f32>>>,
    /// Scales and biases of each of its pieces of weights, one after the other.
    groups: Vec<Vec<Var<f32>>>,
}

impl<'a> Ahead<'a> {
    /// Begins with the first blocks.
    pub fn new(source: &'a Source<'a>, places: Vec<Place>) -> Self {
        let k = source.k;
        let copied = source.w.shelf("codes", k.depth * k.all_rows() * k.steps);
        let kept = |values: Vec<Val<f32>>| {
            values.into_iter().map(|x| x.variable("ahead")).collect::<Vec<_>>()
        };
        let vectors =
            source.vectors(&places, val(0)).into_iter().map(|piece| kept(piece.2)).collect();
        let mut ahead = Self { source, places, copied, vectors, groups: Vec::new() };
        ahead.groups = ahead.groups_of(val(0)).into_iter().map(kept).collect();
        for slot in 0..k.depth - 1 {
            ahead.copy(val(slot * k.steps), val(slot));
            commit_staged();
        }
        ahead
    }

    /// Puts the operands of the columns from `block` on in their place, and goes on. All threads come together here.
    pub fn stage(&self, operands: &Operands, block: Val<u32>) {
        let k = self.source.k;
        let round = block / k.steps;
        // its slot's codes were taken apart by the very thread
        self.copy(block + (k.depth - 1) * k.steps, (round + (k.depth - 1)) % k.depth);
        commit_staged();
        wait_staged(k.depth - 1);
        barrier();
        let piece = |(&(row, column, _), values): (&Place, &Vec<Var<f32>>)| {
            (row, column, values.iter().map(|x| x.get()).collect())
        };
        let pieces: Vec<_> = self.places.iter().zip(&self.vectors).map(piece).collect();
        stage(&operands.vectors, k.vectors * k.columns() / PART, &pieces);
        let slot = round % k.depth * (k.all_rows() * k.steps);
        share(k.all_rows() * k.steps, |turn, i| {
            let groups = self.groups[turn as usize].chunks(self.of_group());
            let groups = groups.map(|group| (group[0].get(), group.get(1).map(|bias| bias.get())));
            let step = self.source.w.copied(&self.copied, slot + i, groups.collect());
            operands.weights.put(i / k.steps, i % k.steps * STEP, &step.values());
        });
        self.load(min(block + k.steps, self.source.steps() - 1));
        barrier();
    }

    /// Ends with all.
    pub fn finish(&self) {
        wait_staged(0);
    }

    /// Begins to copy the weights of the columns from `block` on, if there are any.
    #[device]
    fn copy(&self, block: Val<u32>, slot: Val<u32>) {
        let (source, k) = (self.source, self.source.k);
        if block < source.steps() {
            share(k.all_rows() * k.steps, |_, i| {
                let from = source.weight_at(i / k.steps, block + i % k.steps);
                source.w.copy(&self.copied, slot * (k.all_rows() * k.steps) + i, from);
            });
        }
    }

    /// Loads the vectors of the columns from `block` on, and what is said of their weights.
    fn load(&self, block: Val<u32>) {
        let vectors = self.source.vectors(&self.places, block).into_iter().map(|piece| piece.2);
        let groups = self.groups_of(block);
        let kept = self.vectors.iter().chain(&self.groups);
        for (kept, loaded) in kept.zip(vectors.chain(groups)) {
            kept.iter().zip(loaded).for_each(|(kept, loaded)| kept.assign(loaded));
        }
    }

    fn groups_of(&self, block: Val<u32>) -> Vec<Vec<Val<f32>>> {
        let k = self.source.k;
        let of_turn = |turn: u32| {
            let i = min(thread() + turn * threads(), k.all_rows() * k.steps - 1);
            let (row, block, steps) = self.source.weight_at(i / k.steps, block + i % k.steps);
            let groups = self.source.w.groups(row, block, steps).into_iter();
            groups.flat_map(|(scale, bias)| [Some(scale), bias]).flatten().collect()
        };
        (0..(k.all_rows() * k.steps).div_ceil(threads())).map(of_turn).collect()
    }

    /// Numbers that are said of a group.
    fn of_group(&self) -> usize {
        1 + usize::from(self.source.w.has_biases())
    }
}
