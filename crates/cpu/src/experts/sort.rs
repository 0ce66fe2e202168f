//! Rows in the order of the experts that they go to.

use std::ops::Range;

use super::Needs;
use crate::kernels::acts::Acts;

/// The rows of one expert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub expert: usize,
    /// Where its rows begin among the sorted ones.
    pub first: usize,
    /// Where its panels begin, in rows: see [`Acts::panels`].
    pub panel: usize,
    pub rows: usize,
}

/// A step's routes, sorted. Every thread sorts them for itself: one could do it while the others waited, and
/// they would have to meet once more.
pub(crate) struct Sorted {
    /// `[experts]`: rows of each; later where its next row goes.
    next: Vec<usize>,
    /// Experts that have rows, in the order of their rows.
    pub groups: Vec<Group>,
    /// The row of each sorted one.
    pub rows: Vec<u32>,
    /// `[rows, k]`: where each of a row's routes is among the sorted rows.
    pub places: Vec<u32>,
    /// Rows that the panels of all groups have room for.
    pub room: usize,
}

impl Sorted {
    /// Room for the routes of any mixture of a graph.
    pub fn new(needs: &Needs) -> Self {
        Self {
            next: Vec::with_capacity(needs.experts),
            groups: Vec::with_capacity(needs.groups),
            rows: Vec::with_capacity(needs.routes),
            places: Vec::with_capacity(needs.routes),
            room: 0,
        }
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.next.capacity() * size_of::<usize>()
            + self.groups.capacity() * size_of::<Group>()
            + (self.rows.capacity() + self.places.capacity()) * size_of::<u32>()
    }

    /// Bytes that [`Sorted::new`] takes.
    pub fn bytes_of(needs: &Needs) -> usize {
        needs.experts * size_of::<usize>()
            + needs.groups * size_of::<Group>()
            + 2 * needs.routes * size_of::<u32>()
    }

    /// Sorts `rows * k` routes by expert, those of one expert by row. `expert(row, j)` is where route `j` of a
    /// row goes, below `experts`.
    ///
    /// The routes of one row alone are left in their order, each a group of its own: every group then reads
    /// the same row, which is prepared once.
    pub fn sort(
        &mut self,
        rows: usize,
        k: usize,
        experts: usize,
        expert: impl Fn(usize, usize) -> usize,
    ) {
        self.groups.clear();
        self.rows.clear();
        self.places.clear();
        if rows == 1 {
            let group = |j| Group { expert: expert(0, j), first: j, panel: j, rows: 1 };
            self.groups.extend((0..k).map(group));
            self.rows.resize(k, 0);
            self.places.extend(0..k as u32);
            self.room = k;
            return;
        }
        let routes = || (0..rows).flat_map(|row| (0..k).map(move |j| (row, j)));
        self.next.clear();
        self.next.resize(experts, 0);
        routes().for_each(|(row, j)| self.next[expert(row, j)] += 1);
        let (mut first, mut panel) = (0, 0);
        for (expert, next) in self.next.iter_mut().enumerate() {
            let rows = std::mem::replace(next, first);
            if rows > 0 {
                self.groups.push(Group { expert, first, panel, rows });
            }
            first += rows;
            panel += Acts::room(rows);
        }
        self.room = panel;
        self.rows.resize(rows * k, 0);
        for (row, j) in routes() {
            let next = &mut self.next[expert(row, j)];
            self.rows[*next] = row as u32;
            self.places.push(*next as u32);
            *next += 1;
        }
    }

    /// Calls `f(group, row of the group, sorted row)` for the sorted rows in `range`.
    pub fn each(&self, range: Range<usize>, mut f: impl FnMut(&Group, usize, usize)) {
        let from = self.groups.partition_point(|g| g.first + g.rows <= range.start);
        for group in &self.groups[from..] {
            let end = range.end.min(group.first + group.rows);
            for place in range.start.max(group.first)..end {
                f(group, place - group.first, place);
            }
            if end == range.end {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(rows: usize, k: usize, experts: usize, ids: &[usize]) -> Sorted {
        let needs = Needs::new(rows, k, experts, [1, 1], false);
        let mut sorted = Sorted::new(&needs);
        let held = sorted.bytes();
        assert_eq!(held, Sorted::bytes_of(&needs));
        // Twice: nothing of the first is left, and nothing grows.
        for _ in 0..2 {
            sorted.sort(rows, k, experts, |row, j| ids[row * k + j]);
        }
        assert_eq!(sorted.bytes(), held);
        sorted
    }

    #[test]
    fn rows_are_grouped_by_expert_and_stay_in_order() {
        let ids = [3, 0, 3, 1, 0, 3];
        let sorted = sorted(3, 2, 5, &ids);
        let groups = [(0, 0, 0, 2), (1, 2, 2, 1), (3, 3, 3, 3)]
            .map(|(expert, first, panel, rows)| Group { expert, first, panel, rows });
        assert_eq!(sorted.groups, groups);
        assert_eq!(sorted.rows, [0, 2, 1, 0, 1, 2]);
        assert_eq!(sorted.places, [3, 0, 4, 2, 1, 5]);
        // three rows take a panel of four
        assert_eq!(sorted.room, 2 + 1 + 4);
    }

    #[test]
    fn every_route_has_a_place_and_panels_stay_within_their_bound() {
        for (rows, k, experts) in [(2, 1, 1), (9, 3, 4), (40, 8, 64), (7, 5, 5), (200, 2, 3)] {
            let id = |row: usize, j: usize| (row * row * 7 + j) % experts;
            let ids: Vec<usize> = (0..rows * k).map(|route| id(route / k, route % k)).collect();
            let sorted = sorted(rows, k, experts, &ids);
            let mut seen = vec![false; rows * k];
            let half = rows * k / 2;
            let mut note = |group: &Group, i: usize, place: usize| {
                let row = sorted.rows[place] as usize;
                assert_eq!(place, group.first + i);
                assert!((0..k).any(|j| {
                    id(row, j) == group.expert && sorted.places[row * k + j] as usize == place
                }));
                assert!(!std::mem::replace(&mut seen[place], true));
            };
            sorted.each(0..half, &mut note);
            sorted.each(half..rows * k, &mut note);
            assert!(seen.iter().all(|&seen| seen));
            let needs = Needs::new(rows, k, experts, [32, 32], true);
            assert!(Acts::bytes(sorted.room, 32, true) <= needs.acts);
            let panels = sorted.groups.windows(2);
            assert!(panels.into_iter().all(|g| g[0].panel + Acts::room(g[0].rows) == g[1].panel));
        }
    }

    #[test]
    fn the_routes_of_one_row_are_groups_of_their_own() {
        let sorted = sorted(1, 3, 8, &[5, 2, 5]);
        let experts: Vec<usize> = sorted.groups.iter().map(|g| g.expert).collect();
        assert_eq!((experts, sorted.places), (vec![5, 2, 5], vec![0, 1, 2]));
    }
}
