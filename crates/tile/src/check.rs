//! What is checked of a program before anyone prints or runs it: limits, names, vector widths, tiles, that values keep to
//! their blocks, and that threads meet only where all of them come by.

mod limits;
mod scope;
mod staged;
mod tiles;

use crate::{
    ir::{Block, Builtin, Collective, Elem, Expr, Kind, Line, Memory, Program, Reg, Scope, Stmt},
    record::At,
};

pub use limits::{MAX_BUFFERS, MAX_NAME, MAX_SHARED, MAX_THREADS};

/// Why a kernel cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BuildError {
    /// A number beyond what devices have.
    #[error("kernel {kernel}: {value} {what}, at most {limit}")]
    Limit {
        /// Its name.
        kernel: String,
        /// Of what.
        what: &'static str,
        /// How many there are.
        value: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Something is malformed.
    #[error("kernel {kernel}: {what}")]
    Malformed {
        /// Its name.
        kernel: String,
        /// What is wrong.
        what: String,
    },
    /// Threads would wait for others that do not come.
    #[error("kernel {kernel}, {line}: {what} where not all threads of the {whom} come by")]
    Divergent {
        /// Its name.
        kernel: String,
        /// File and line.
        line: String,
        /// What waits.
        what: &'static str,
        /// For whom.
        whom: &'static str,
    },
    /// A matrix tile that no device has.
    #[error(
        "kernel {kernel}, {line}: a matrix tile of {elem:?}; tiles are of F16 or F32, stage it as one of them"
    )]
    Tile {
        /// Its name.
        kernel: String,
        /// File and line.
        line: String,
        /// Of what.
        elem: Elem,
    },
    /// A copy that no device has.
    #[error(
        "kernel {kernel}, {line}: {count} elements of {elem:?} staged at once; they are 4, 8 or 16 bytes"
    )]
    Staged {
        /// Its name.
        kernel: String,
        /// File and line.
        line: String,
        /// How many.
        count: u32,
        /// Of what.
        elem: Elem,
    },
    /// A load or store that no device has.
    #[error(
        "kernel {kernel}, {line}: {count} elements of {elem:?} at once; 1, 2, 4 or 8, up to 16 bytes"
    )]
    Vector {
        /// Its name.
        kernel: String,
        /// File and line.
        line: String,
        /// How many.
        count: usize,
        /// Of what.
        elem: Elem,
    },
}

/// For whom a value is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// All threads of a threadgroup.
    Group,
    /// All lanes of a simdgroup.
    Simdgroup,
    /// Nobody else.
    Thread,
}

/// Checks a program.
pub fn check(program: &Program) -> Result<(), BuildError> {
    limits::check(program)?;
    scope::check(program)?;
    tiles::check(program)?;
    staged::check(program)?;
    let levels = uniformity(program);
    let mut checker = Checker { program, levels: &levels };
    checker.block(&program.body, Level::Group)
}

struct Checker<'a> {
    program: &'a Program,
    levels: &'a [Level],
}

impl Checker<'_> {
    fn block(&mut self, block: &Block, control: Level) -> Result<(), BuildError> {
        block.iter().try_for_each(|stmt| self.stmt(stmt, control))
    }

    fn stmt(&mut self, stmt: &Stmt, control: Level) -> Result<(), BuildError> {
        let needed = match &stmt.kind {
            Kind::Barrier(Scope::Shared | Scope::All) => Some((Level::Group, "a barrier")),
            Kind::Barrier(Scope::Simdgroup) => Some((Level::Simdgroup, "a barrier")),
            Kind::Commit => Some((Level::Group, "a group of staged copies")),
            Kind::Wait(_) => Some((Level::Group, "a wait for staged copies")),
            Kind::Collective { .. } => Some((Level::Simdgroup, "an operation of the simdgroup")),
            Kind::TileFill { .. }
            | Kind::TileLoad { .. }
            | Kind::TileMultiply { .. }
            | Kind::TileStore { .. } => Some((Level::Simdgroup, "an operation on a tile")),
            _ => None,
        };
        if let Some((needed, what)) = needed
            && control > needed
        {
            let whom = match needed {
                Level::Group => "threadgroup",
                _ => "simdgroup",
            };
            let (kernel, line) = self.place(stmt.at);
            return Err(BuildError::Divergent { kernel, line, what, whom });
        }
        match &stmt.kind {
            Kind::Load { to: regs, memory, .. } | Kind::Store { from: regs, memory, .. } => {
                self.vector(stmt.at, regs.len(), *memory)
            }
            Kind::TileLoad { index, stride, .. } | Kind::TileStore { index, stride, .. } => {
                self.tile(stmt.at, *index, *stride)
            }
            Kind::Atomic { memory, .. } => self.atomic(stmt.at, *memory),
            Kind::If { condition, then, otherwise } => {
                let control = control.max(self.levels[condition.index()]);
                self.block(then, control)?;
                self.block(otherwise, control)
            }
            Kind::For { from, to, step, body, .. } => {
                let bounds = [from, to, step].map(|reg| self.levels[reg.index()]);
                let control = bounds.into_iter().fold(control, Level::max);
                self.block(body, control)
            }
            _ => Ok(()),
        }
    }

    fn vector(&self, at: At, count: usize, memory: Memory) -> Result<(), BuildError> {
        let elem = self.program.elem(memory);
        if matches!(count, 1 | 2 | 4 | 8) && count * elem.bytes() <= 16 {
            return Ok(());
        }
        let (kernel, line) = self.place(at);
        Err(BuildError::Vector { kernel, line, count, elem })
    }

    fn atomic(&self, at: At, memory: Memory) -> Result<(), BuildError> {
        let elem = self.program.elem(memory);
        if elem == Elem::U32 {
            return Ok(());
        }
        let (kernel, line) = self.place(at);
        let what = format!("{line}: an element of {elem:?} is not changed at once; of U32 it is");
        Err(BuildError::Malformed { kernel, what })
    }

    fn tile(&self, at: At, index: Reg, stride: u32) -> Result<(), BuildError> {
        let (kernel, line) = self.place(at);
        if self.levels[index.index()] > Level::Simdgroup {
            let what = format!("{line}: the lanes of a simdgroup address different tiles");
            return Err(BuildError::Malformed { kernel, what });
        }
        if !stride.is_multiple_of(8) {
            let what =
                format!("{line}: rows of a tile lie {stride} elements apart, not a multiple of 8");
            return Err(BuildError::Malformed { kernel, what });
        }
        Ok(())
    }

    fn place(&self, at: At) -> (String, String) {
        (self.program.name.clone(), Line(at).to_string())
    }
}

/// For whom each register is the same.
pub fn uniformity(program: &Program) -> Vec<Level> {
    let mut levels = vec![Level::Group; program.regs.len()];
    let mut changed = true;
    while changed {
        changed = false;
        raise_block(program, &program.body, Level::Group, &mut levels, &mut changed);
    }
    levels
}

fn raise_block(
    program: &Program,
    block: &Block,
    control: Level,
    levels: &mut Vec<Level>,
    changed: &mut bool,
) {
    for stmt in block {
        let of = |reg: &Reg| levels[reg.index()];
        match &stmt.kind {
            Kind::Let(to, expr) => {
                let level = expr_level(expr, levels);
                raise(levels, *to, level, changed);
            }
            Kind::Assign(to, from) => {
                let level = of(from).max(control);
                raise(levels, *to, level, changed);
            }
            Kind::Load { to, memory, index } => {
                let stable = match memory {
                    Memory::Buffer(b) => {
                        program.buffers[*b as usize].access == crate::ir::Access::Read
                    }
                    Memory::Shared(_) => true,
                };
                let level = if stable { of(index) } else { Level::Thread };
                to.iter().for_each(|&to| raise(levels, to, level, changed));
            }
            Kind::Atomic { old, .. } => raise(levels, *old, Level::Thread, changed),
            Kind::Collective { op, to, value, lane } => {
                let value = of(value);
                let level = match op {
                    Collective::Sum | Collective::Max | Collective::Min | Collective::Ballot => {
                        value.min(Level::Simdgroup)
                    }
                    Collective::Shuffle if lane.is_some_and(|lane| of(&lane) < Level::Thread) => {
                        value.min(Level::Simdgroup)
                    }
                    Collective::Shuffle | Collective::ShuffleXor(_) => value,
                    Collective::PrefixSum => Level::Thread,
                };
                raise(levels, *to, level, changed);
            }
            Kind::If { condition, then, otherwise } => {
                let control = control.max(of(condition));
                raise_block(program, then, control, levels, changed);
                raise_block(program, otherwise, control, levels, changed);
            }
            Kind::For { counter, from, to, step, body } => {
                let level = of(from).max(of(to)).max(of(step));
                raise(levels, *counter, level, changed);
                raise_block(program, body, control.max(level), levels, changed);
            }
            _ => {}
        }
    }
}

fn raise(levels: &mut [Level], reg: Reg, level: Level, changed: &mut bool) {
    let now = &mut levels[reg.index()];
    if *now < level {
        *now = level;
        *changed = true;
    }
}

fn expr_level(expr: &Expr, levels: &[Level]) -> Level {
    match expr {
        Expr::Const(_) | Expr::Arg(_) | Expr::Builtin(Builtin::Group(_)) => Level::Group,
        Expr::Builtin(Builtin::Simdgroup) => Level::Simdgroup,
        Expr::Builtin(Builtin::Thread | Builtin::Lane) => Level::Thread,
        _ => {
            let regs = expr.operands().into_iter().flatten();
            regs.map(|reg| levels[reg.index()]).fold(Level::Group, Level::max)
        }
    }
}
