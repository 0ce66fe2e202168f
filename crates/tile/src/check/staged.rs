//! Staged copies are of sizes that devices have, and are waited for before the kernel ends.
//!
//! Groups are counted along the program's text, the most that may be on their way: of two branches the larger number, of
//! a loop what it comes to in any number of rounds. All threads make and await groups together.

use crate::{
    BuildError, Program,
    ir::{Access, Block, Kind, Line, Memory, Stmt},
    record::At,
};

/// Checks a program.
pub fn check(program: &Program) -> Result<(), BuildError> {
    let mut walk = Walk { program, last: None, counting: false };
    let left = walk.block(&program.body, Flight::default())?;
    match walk.last {
        Some(at) if left.open => walk.refuse(at, "what is staged here is in no group"),
        Some(at) if left.groups > 0 => {
            walk.refuse(at, "the kernel may end while copies are on their way: wait for all")
        }
        _ => Ok(()),
    }
}

/// More groups than anybody waits to be left.
const MANY: u32 = u32::MAX;

/// Copies that may be on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Flight {
    /// Whether there are some in no group yet.
    open: bool,
    /// Groups, at most.
    groups: u32,
}

impl Flight {
    fn or(self, other: Self) -> Self {
        Self { open: self.open | other.open, groups: self.groups.max(other.groups) }
    }
}

struct Walk<'a> {
    program: &'a Program,
    /// The last copy or group.
    last: Option<At>,
    /// Whether a loop is gone through for its number of groups only, which is not yet known.
    counting: bool,
}

impl Walk<'_> {
    fn block(&mut self, block: &Block, before: Flight) -> Result<Flight, BuildError> {
        block.iter().try_fold(before, |flight, stmt| self.stmt(stmt, flight))
    }

    fn stmt(&mut self, stmt: &Stmt, mut flight: Flight) -> Result<Flight, BuildError> {
        match &stmt.kind {
            Kind::Stage { .. } => {
                self.copy(stmt)?;
                self.last = Some(stmt.at);
                flight.open = true;
            }
            Kind::Commit => {
                self.last = Some(stmt.at);
                flight = Flight { open: false, groups: flight.groups.saturating_add(1) };
            }
            Kind::Wait(left) if flight.groups <= *left && !self.counting => {
                self.refuse(stmt.at, "no groups can be on their way but those that may stay so")?;
            }
            Kind::Wait(left) => flight.groups = flight.groups.min(*left),
            Kind::If { then, otherwise, .. } => {
                let then = self.block(then, flight)?;
                flight = then.or(self.block(otherwise, flight)?);
            }
            Kind::For { body, .. } => flight = self.rounds(body, flight)?,
            _ => {}
        }
        Ok(flight)
    }

    /// What a loop comes to: what grows in the second round too is taken to grow for ever.
    fn rounds(&mut self, body: &Block, before: Flight) -> Result<Flight, BuildError> {
        let counting = std::mem::replace(&mut self.counting, true);
        let first = before.or(self.block(body, before)?);
        let second = first.or(self.block(body, first)?);
        let groups = if second.groups > first.groups { MANY } else { first.groups };
        let any = Flight { groups, ..second };
        self.counting = counting;
        Ok(any.or(self.block(body, any)?))
    }

    /// Whether devices have such a copy.
    fn copy(&self, stmt: &Stmt) -> Result<(), BuildError> {
        let Kind::Stage { to, from, count, .. } = stmt.kind else { return Ok(()) };
        let (Memory::Shared(_), Memory::Buffer(buffer)) = (to, from) else {
            return self.refuse(stmt.at, "copies are staged from buffers to shared memory");
        };
        if self.program.buffers[buffer as usize].access != Access::Read {
            return self.refuse(stmt.at, "copies are staged from buffers that nobody writes");
        }
        let elem = self.program.elem(to);
        if self.program.elem(from) != elem {
            return self.refuse(stmt.at, "a copy is staged to elements of another type");
        }
        if matches!(count as usize * elem.bytes(), 4 | 8 | 16) {
            return Ok(());
        }
        let (kernel, line) = (self.program.name.clone(), Line(stmt.at).to_string());
        Err(BuildError::Staged { kernel, line, count, elem })
    }

    fn refuse(&self, at: At, what: &str) -> Result<(), BuildError> {
        let what = format!("{}: {what}", Line(at));
        Err(BuildError::Malformed { kernel: self.program.name.clone(), what })
    }
}
