//! Where registers lie: one value for a threadgroup, or a column with one for each thread, reused once nobody reads it.

use crate::{
    check::Level,
    ir::{Block, Kind, Program},
};

/// A register's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slot {
    /// The same for all threads.
    Scalar(usize),
    /// Index of a column.
    Column(usize),
}

/// When a register is in use, in positions of the program's text.
#[derive(Clone, Copy)]
struct Life {
    first: usize,
    last: usize,
    /// Loops around the first position.
    depth: usize,
}

struct Lives {
    /// By register.
    lives: Vec<Option<Life>>,
    /// For each open loop, registers from outside that are used in it, and so live till its end.
    open: Vec<Vec<usize>>,
    position: usize,
}

impl Lives {
    fn write(&mut self, reg: usize) {
        if self.lives[reg].is_some() {
            return self.read(reg);
        }
        let (first, depth) = (self.position, self.open.len());
        self.lives[reg] = Some(Life { first, last: first, depth });
    }

    fn read(&mut self, reg: usize) {
        let Some(life) = &mut self.lives[reg] else { return };
        life.last = life.last.max(self.position);
        if let Some(outermost) = self.open.get_mut(life.depth) {
            outermost.push(reg);
        }
    }

    fn block(&mut self, block: &Block) {
        for stmt in block {
            self.position += 1;
            stmt.kind.reads(|reg| self.read(reg.index()));
            stmt.kind.writes(|reg| self.write(reg.index()));
            let turns = matches!(stmt.kind, Kind::For { .. });
            if turns {
                self.open.push(Vec::new());
                // bounds and counter are needed at every turn
                stmt.kind.reads(|reg| self.read(reg.index()));
                stmt.kind.writes(|reg| self.read(reg.index()));
            }
            stmt.kind.blocks().for_each(|inner| self.block(inner));
            if turns {
                self.position += 1;
                for reg in self.open.pop().unwrap_or_default() {
                    self.read(reg);
                }
            }
        }
    }
}

/// Slots of all registers, and the number of columns.
pub(super) fn assign(program: &Program, levels: &[Level]) -> (Vec<Slot>, usize) {
    let lives = vec![None; program.regs.len()];
    let mut walk = Lives { lives, open: Vec::new(), position: 0 };
    walk.block(&program.body);
    let mut slots: Vec<Slot> = (0..program.regs.len()).map(Slot::Scalar).collect();
    let varying = |&reg: &usize| levels[reg] != Level::Group;
    let life = |reg: usize| walk.lives[reg];
    let mut order: Vec<usize> =
        (0..slots.len()).filter(varying).filter(|&r| life(r).is_some()).collect();
    order.sort_by_key(|&reg| life(reg).map(|life| life.first));
    let mut ends: Vec<(usize, usize)> = Vec::new();
    let mut columns = 0;
    let mut free: Vec<usize> = Vec::new();
    for reg in order {
        let Some(Life { first, last, .. }) = life(reg) else { continue };
        ends.retain(|&(end, column)| {
            // strictly before: an operand's column is not the result's
            let over = end < first;
            if over {
                free.push(column);
            }
            !over
        });
        let column = free.pop().unwrap_or_else(|| {
            columns += 1;
            columns - 1
        });
        slots[reg] = Slot::Column(column);
        ends.push((last, column));
    }
    (slots, columns)
}
