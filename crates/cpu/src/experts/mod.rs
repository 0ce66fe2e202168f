//! Mixtures of experts: the rows of a step, sorted by expert, go through the matrices of each.
//!
//! Every stage divides its work evenly, whoever the rows go to: rows by number, and the tiles of all experts
//! that have rows as one list (see [`divide`]). What the experts of a row make is kept apart and added up
//! in the order of the row's routes, so that no sum depends on company.

mod lower;
mod needs;
mod sort;

use std::ops::Range;

use tessera_graph::ExpertUnit;

pub(crate) use needs::Needs;
pub(crate) use sort::Sorted;

use crate::{
    exec::{OWN_ROWS, Scratch},
    kernels::{
        acts::Acts,
        matmul::{Finish, Product, Wants},
        rows::{Mix, Prepare},
    },
    lower::{Matrix, Slot},
    product::{FEW_ROWS, WARM_BYTES, at_a_time, divide, fetch, share},
    region::Region,
    step::Step,
};
use needs::made_at;
use sort::Group;

/// Routes of one row up to which every thread prepares all of them for itself; see [`OWN_ROWS`].
const OWN_ROUTES: usize = 16;

/// Bytes of an expert's matrix that are fetched when the one before it is about to end: as far as the kernels
/// look ahead.
const NEXT_BYTES: usize = 6400;

/// A mixture with every address resolved.
pub(crate) struct Mixture {
    pub unit: ExpertUnit,
    /// For each expert; none for a unit without gates.
    pub gates: Vec<Matrix>,
    pub ups: Vec<Matrix>,
    pub downs: Vec<Matrix>,
    /// Experts a row goes to.
    pub k: usize,
    pub x: Slot,
    /// `[rows, 2 * k]`.
    pub routes: Slot,
    pub out: Slot,
    /// How gates and ups read their rows.
    pub up_wants: Wants,
    /// How downs read theirs.
    pub down_wants: Wants,
    /// Columns of what is between the matrices.
    pub width: usize,
    /// What is between the matrices: `[rows * k, width]`.
    pub inner: *mut f32,
    /// What experts made: `[rows * k, x.width]`.
    pub made: *mut f32,
}

// SAFETY: addresses point into regions that the executable owns beside the program.
unsafe impl Send for Mixture {}
// SAFETY: as above; threads write disjoint parts, as each stage divides them.
unsafe impl Sync for Mixture {}

/// What is done with a mixture, in this order. Threads meet before each, except after rows that every thread
/// has prepared for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Sort the routes and prepare their rows.
    Sort,
    /// Multiply by gates and ups; the unit.
    Up,
    /// Prepare what is between.
    Prepare,
    /// Multiply by downs.
    Down,
    /// Add up each row's shares.
    Mix,
}

impl Mixture {
    /// Whether every thread prepares the rows of all experts for itself.
    pub fn own(&self, step: &Step<'_>) -> bool {
        step.rows(self.x.rows) <= OWN_ROWS && self.k <= OWN_ROUTES
    }
}

/// One thread at one stage.
struct Share<'a> {
    step: &'a Step<'a>,
    mixture: &'a Mixture,
    sorted: &'a Sorted,
    /// For rows that are prepared by every thread.
    own_acts: &'a Region,
    /// A row in whole vectors.
    row: *mut f32,
    index: usize,
    thread: usize,
}

/// A thread's share of one stage.
///
/// # Safety
/// As for [`Step::run`]: the stages before are done, and threads have met since where they must.
pub(crate) unsafe fn run(
    step: &Step<'_>,
    mixture: &Mixture,
    stage: Stage,
    index: usize,
    thread: usize,
    scratch: &mut Scratch,
) {
    if stage == Stage::Sort {
        let (rows, experts) = (step.rows(mixture.x.rows), mixture.ups.len());
        scratch.sorted.sort(rows, mixture.k, experts, |row, j| {
            // SAFETY: `k` ids at the beginning of each row of routes; whatever is there becomes an expert.
            let id = unsafe { *mixture.routes.row(row).add(j) };
            (id as usize).min(experts - 1)
        });
    }
    let Scratch { acts: own_acts, row, sorted, .. } = scratch;
    let row = row.as_mut_ptr();
    let share = Share { step, mixture, sorted, own_acts, row, index, thread };
    // SAFETY: passed on.
    unsafe {
        match stage {
            Stage::Sort => share.prepare_rows(),
            Stage::Up => share.up(),
            Stage::Prepare => share.prepare_inner(),
            Stage::Down => share.down(),
            Stage::Mix => share.mix(),
        }
    }
}

impl Share<'_> {
    fn threads(&self) -> usize {
        self.step.model.pool.threads()
    }

    /// Room for `rows` prepared rows.
    fn acts(&self, rows: usize, width: usize) -> Acts {
        let own = self.mixture.own(self.step);
        let base = if own { self.own_acts.at(0) } else { self.step.model.acts.at(0) };
        Acts::place(base, rows, width)
    }

    /// A group's rows as gates and ups read them: of a row that every thread prepares, the same for all.
    fn rows_of(&self, group: &Group) -> Acts {
        let width = self.mixture.x.width;
        match self.mixture.own(self.step) {
            true => self.acts(1, width),
            false => self.acts(self.sorted.room, width).panels(group.panel, group.rows),
        }
    }

    /// A group's rows as downs read them.
    fn inner_of(&self, group: &Group) -> Acts {
        self.acts(self.sorted.room, self.mixture.width).panels(group.panel, group.rows)
    }

    /// Sorted rows that this thread prepares.
    fn mine(&self) -> Range<usize> {
        let all = self.sorted.rows.len();
        match self.mixture.own(self.step) {
            true => 0..all,
            false => share(all, self.thread, self.threads()),
        }
    }

    /// # Safety
    /// As for [`run`], and nobody else prepares this row.
    unsafe fn prepare(&self, x: *const f32, cols: usize, wants: Wants, acts: Acts, row: usize) {
        let scratch = self.row;
        // SAFETY: passed on.
        unsafe {
            self.step.model.level.run(Prepare { x, cols, norm: None, acts, row, wants, scratch })
        }
    }

    unsafe fn prepare_rows(&self) {
        let m = self.mixture;
        let first = if m.gates.is_empty() { &m.ups } else { &m.gates };
        self.warm(first);
        let own = m.own(self.step);
        let mine = if own { 0..1 } else { self.mine() };
        self.sorted.each(mine, |group, i, place| {
            let x = m.x.row(self.sorted.rows[place] as usize);
            // SAFETY: the row is one of the step's, and this place among the prepared ones is ours.
            unsafe { self.prepare(x, m.x.width, m.up_wants, self.rows_of(group), i) };
        });
    }

    unsafe fn prepare_inner(&self) {
        let m = self.mixture;
        self.sorted.each(self.mine(), |group, i, place| {
            let x = m.inner.wrapping_add(place * m.width);
            // SAFETY: there is a row for each route, and this place among the prepared ones is ours.
            unsafe { self.prepare(x, m.width, m.down_wants, self.inner_of(group), i) };
        });
    }

    /// # Safety
    /// As for [`run`].
    unsafe fn up(&self) {
        let m = self.mixture;
        self.multiply([&m.gates, &m.ups], |group, tiles| {
            let (acts, out) = (self.rows_of(group), m.inner.wrapping_add(group.first * m.width));
            // SAFETY: the group's rows have been prepared, and these tiles of them are this thread's.
            unsafe {
                match m.unit {
                    ExpertUnit::Gated(unit) => {
                        let (gate, up) = (&m.gates[group.expert], &m.ups[group.expert]);
                        self.product(gate, group, acts, out, Finish::Store, &tiles);
                        self.product(up, group, acts, out, Finish::Gate(unit), &tiles);
                    }
                    ExpertUnit::Plain(f) => {
                        let up = &m.ups[group.expert];
                        self.product(up, group, acts, out, Finish::Activate(f), &tiles);
                    }
                }
            }
        });
        self.warm(&m.downs);
    }

    /// # Safety
    /// As for [`run`].
    unsafe fn down(&self) {
        let m = self.mixture;
        self.multiply([&[], &m.downs], |group, tiles| {
            let (acts, out) = (self.inner_of(group), m.made.wrapping_add(group.first * m.x.width));
            // SAFETY: the group's rows have been prepared, and these tiles of them are this thread's.
            unsafe {
                self.product(&m.downs[group.expert], group, acts, out, Finish::Store, &tiles)
            };
        });
    }

    /// # Safety
    /// As for [`run`].
    unsafe fn mix(&self) {
        let m = self.mixture;
        for row in self.step.mine(m.out.rows, self.thread) {
            let places = &self.sorted.places[row * m.k..][..m.k];
            let shares = m.routes.row(row).wrapping_add(m.k);
            let (rows, out, n) = (m.made, m.out.row(row), m.x.width);
            // SAFETY: every place is that of a row that has been made, `n` wide like the output.
            unsafe { self.step.model.level.run(Mix { rows, places, shares, out, n }) };
        }
    }

    /// # Safety
    /// As for [`Product::run`].
    unsafe fn product(
        &self,
        matrix: &Matrix,
        group: &Group,
        acts: Acts,
        out: *mut f32,
        finish: Finish,
        tiles: &Range<usize>,
    ) {
        let (Matrix { weight, bias }, rows) = (matrix, group.rows);
        let product = Product { weight, bias: *bias, acts, rows, out, finish };
        // SAFETY: passed on.
        unsafe {
            product.run(self.step.model.level, self.step.model.precise, tiles.start, tiles.end)
        }
    }

    /// Takes tiles of the last of `matrices` (and with them those of the first) until none are left:
    /// `multiply(group, tiles)`. While memory is what is waited for, the next expert's are fetched on the way.
    fn multiply(&self, matrices: [&[Matrix]; 2], multiply: impl Fn(&Group, Range<usize>)) {
        let groups = &self.sorted.groups;
        let weight = &matrices[1][0].weight;
        let (tiles, few) = (weight.count(), self.few());
        let total = groups.len() * tiles;
        let n = at_a_time(weight, total, self.threads());
        divide(self.step, self.index, self.thread, total, n, |range| {
            pieces(range, tiles, |group, tiles_of_it| {
                if let (true, true, Some(next)) =
                    (few, tiles_of_it.end == tiles, groups.get(group + 1))
                {
                    let next = matrices.iter().filter_map(|m| m.get(next.expert));
                    next.for_each(|matrix| fetch(&matrix.weight, 0, NEXT_BYTES));
                }
                multiply(&groups[group], tiles_of_it);
            });
        });
    }

    /// Fetches the beginning of this thread's share of the tiles of `matrices`.
    fn warm(&self, matrices: &[Matrix]) {
        let tiles = matrices[0].weight.count();
        let first = share(self.sorted.groups.len() * tiles, self.thread, self.threads()).start;
        if let (true, Some(group)) = (self.few(), self.sorted.groups.get(first / tiles)) {
            fetch(&matrices[group.expert].weight, first % tiles, WARM_BYTES);
        }
    }

    /// Whether the products wait for memory rather than for arithmetic.
    fn few(&self) -> bool {
        self.sorted.rows.len() <= FEW_ROWS * self.sorted.groups.len()
    }
}

/// Cuts a range of items into those of each group of `size`: `f(group, items of it)`.
fn pieces(range: Range<usize>, size: usize, mut f: impl FnMut(usize, Range<usize>)) {
    let mut first = range.start;
    while first < range.end {
        let (group, item) = (first / size, first % size);
        let last = size.min(item + range.end - first);
        f(group, item..last);
        first += last - item;
    }
}
