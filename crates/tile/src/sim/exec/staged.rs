//! Staged copies: begun where they are written, done where their group is waited for.

use std::collections::VecDeque;

use super::{Mask, Run, access::Place};
use crate::{
    ir::{Memory, Reg},
    record::At,
    sim::{Fault, What, shadow::Touch},
};

/// A copy of a thread.
struct Copy {
    at: At,
    thread: usize,
    to: Memory,
    /// First element there.
    first: usize,
    from: Memory,
    /// First element there; zeros if there is none.
    index: Option<usize>,
    count: usize,
}

/// Copies that are on their way, of all threads: they make and await groups together.
#[derive(Default)]
pub(super) struct Flight {
    /// In no group yet.
    open: Vec<Copy>,
    /// The latest last.
    groups: VecDeque<Vec<Copy>>,
}

impl Flight {
    pub(super) fn commit(&mut self) {
        self.groups.push_back(std::mem::take(&mut self.open));
    }
}

impl Run<'_> {
    /// Begins the copies of a statement: `to` and `from` are places, and the registers that tell their first elements.
    pub(super) fn stage(
        &mut self,
        at: At,
        [to, from]: [(&Place, Reg); 2],
        inside: Option<Reg>,
        mask: &Mask,
    ) -> Result<(), Fault> {
        let count = to.0.count;
        for thread in mask.threads() {
            let first = self.first(at, to.0, thread, self.operand(to.1).at(thread))?;
            let read = inside.is_none_or(|inside| self.operand(inside).at(thread) != 0);
            let index = match read {
                true => Some(self.first(at, from.0, thread, self.operand(from.1).at(thread))?),
                false => None,
            };
            let (to, from) = (to.0.memory, from.0.memory);
            let copy = Copy { at, thread, to, first, from, index, count };
            self.copy_touches(at, &copy, Touch::Begin)?;
            self.counts.shared += count as u64;
            self.counts.loaded +=
                index.map_or(0, |_| count * self.place(from, 1).elem.bytes()) as u64;
            self.flight.open.push(copy);
        }
        Ok(())
    }

    /// Does the copies of all groups but so many.
    pub(super) fn wait(&mut self, at: At, left: u32) -> Result<(), Fault> {
        while self.flight.groups.len() > left as usize
            && let Some(group) = self.flight.groups.pop_front()
        {
            for copy in group {
                self.copy_touches(at, &copy, Touch::End)?;
                let (to, from) = (self.place(copy.to, 1), self.place(copy.from, 1));
                for i in 0..copy.count {
                    let raw = copy.index.map_or(0, |index| self.raw(&from, index + i));
                    self.set_raw(&to, copy.first + i, raw);
                }
            }
        }
        Ok(())
    }

    /// Whether all copies were waited for, at the kernel's end.
    pub(super) fn landed(&mut self) -> Result<(), Fault> {
        let Flight { open, groups } = std::mem::take(&mut self.flight);
        let left: Vec<Copy> = groups.into_iter().flatten().chain(open).collect();
        match left.first() {
            Some(copy) => Err(self.fault(copy.at, copy.thread, What::Left { count: left.len() })),
            None => Ok(()),
        }
    }

    fn copy_touches(&mut self, at: At, copy: &Copy, touch: Touch) -> Result<(), Fault> {
        if self.shadow.is_none() {
            return Ok(());
        }
        let (to, from) = (self.place(copy.to, 1), self.place(copy.from, 1));
        for i in 0..copy.count {
            self.touch(at, &to, copy.thread, copy.first + i, touch)?;
            if let Some(index) = copy.index {
                self.touch(at, &from, copy.thread, index + i, touch)?;
            }
        }
        Ok(())
    }
}
