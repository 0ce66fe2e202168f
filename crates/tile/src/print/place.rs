//! Which expressions are put in place of the one register that would hold them.
//!
//! A value without a name that is used once is written where it is used, if that is in the same block and nothing in between
//! changes what it is made of: no assignment to a variable it reads, no write to (or barrier for) the memory it loads from.
//! Constants, arguments and what a thread knows of itself are written wherever they are used. Nothing is moved into a loop.

use std::collections::HashMap;

use crate::{
    Program,
    ir::{Access, Block, Expr, Kind, Memory, Reg, Stmt},
};

/// What becomes of each register.
#[derive(Debug)]
pub struct Places {
    uses: Vec<u32>,
    inline: Vec<bool>,
}

impl Places {
    /// Looks through a program.
    pub fn of(program: &Program) -> Self {
        let count = program.regs.len();
        let mut places = Self { uses: vec![0; count], inline: vec![false; count] };
        places.count(&program.body);
        places.block(program, &program.body);
        places
    }

    /// Whether anything needs the register.
    pub fn used(&self, reg: Reg) -> bool {
        self.uses[reg.index()] > 0
    }

    /// Whether its expression is written where the register is used.
    pub fn inline(&self, reg: Reg) -> bool {
        self.inline[reg.index()]
    }

    /// Whether a statement does anything.
    pub fn needed(&self, stmt: &Stmt) -> bool {
        match &stmt.kind {
            Kind::Let(to, _) => self.used(*to),
            Kind::Load { to, .. } => to.iter().any(|&to| self.used(to)),
            _ => true,
        }
    }

    /// Counts uses by what is needed, from the end.
    fn count(&mut self, block: &Block) {
        for stmt in block.iter().rev().collect::<Vec<_>>() {
            stmt.kind.blocks().for_each(|block| self.count(block));
            if self.needed(stmt) {
                stmt.kind.reads(|reg| self.uses[reg.index()] += 1);
            }
        }
    }

    fn block(&mut self, program: &Program, block: &Block) {
        let sites = self.sites(block);
        // where what a statement makes is evaluated in the end
        let mut ends: Vec<Option<Site>> = vec![None; block.len()];
        for (at, stmt) in block.iter().enumerate().rev() {
            stmt.kind.blocks().for_each(|block| self.block(program, block));
            let Some(candidate) = Candidate::of(program, stmt) else { continue };
            let reg = candidate.reg;
            if candidate.anywhere {
                self.inline[reg.index()] = true;
                continue;
            }
            let Some(sites) = sites.get(&reg) else { continue };
            let here = sites.len() as u32 == self.uses[reg.index()];
            if !here || sites.len() > 1 && !candidate.cheap {
                continue;
            }
            let end = sites.iter().map(|site| ends[site.at].unwrap_or(*site)).fold(
                Site { at, repeated: false },
                |a, b| Site { at: a.at.max(b.at), repeated: a.repeated || b.repeated },
            );
            let repeated = end.repeated.then(|| &block[end.at]);
            let mut between = block[at + 1..end.at].iter().chain(repeated);
            let kept = !between.any(|stmt| candidate.changed_by(program, stmt));
            if kept && !(end.repeated && matches!(candidate.source, Source::Memory(_))) {
                self.inline[reg.index()] = true;
                ends[at] = Some(end);
            }
        }
    }

    /// Where the statements of a block themselves, not their blocks, use registers.
    fn sites(&self, block: &Block) -> HashMap<Reg, Vec<Site>> {
        let mut sites: HashMap<Reg, Vec<Site>> = HashMap::new();
        for (at, stmt) in block.iter().enumerate().filter(|(_, stmt)| self.needed(stmt)) {
            let mut note =
                |reg, repeated| sites.entry(reg).or_default().push(Site { at, repeated });
            match &stmt.kind {
                // these are looked at in every round
                Kind::For { from, to, step, .. } => {
                    note(*from, false);
                    note(*to, true);
                    note(*step, true);
                }
                kind => kind.reads(|reg| note(reg, false)),
            }
        }
        sites
    }
}

/// Where a register is used.
#[derive(Debug, Clone, Copy)]
struct Site {
    /// Position in the block.
    at: usize,
    /// Whether it is evaluated in each round of the loop that stands there.
    repeated: bool,
}

/// What an expression depends on besides registers.
enum Source {
    Nothing,
    Variable(Reg),
    Memory(Memory),
}

/// A register that might not be needed.
struct Candidate {
    reg: Reg,
    source: Source,
    /// Never changes and costs nothing.
    anywhere: bool,
    /// May be written several times.
    cheap: bool,
}

impl Candidate {
    fn of(program: &Program, stmt: &Stmt) -> Option<Self> {
        let named = |reg: Reg| program.regs[reg.index()].name.is_some();
        let (reg, source, anywhere) = match &stmt.kind {
            Kind::Let(reg, Expr::Arg(_)) => return Some(Self::anywhere(*reg)),
            &Kind::Let(reg, Expr::Const(_) | Expr::Builtin(_)) => (reg, Source::Nothing, true),
            &Kind::Let(reg, Expr::Read(variable)) => (reg, Source::Variable(variable), false),
            &Kind::Let(reg, _) => (reg, Source::Nothing, false),
            Kind::Load { to, memory, .. } if to.len() == 1 => {
                (to[0], Source::Memory(*memory), false)
            }
            _ => return None,
        };
        if named(reg) {
            return None;
        }
        let cheap = matches!(source, Source::Variable(_));
        Some(Self { reg, source, anywhere, cheap })
    }

    fn anywhere(reg: Reg) -> Self {
        Self { reg, source: Source::Nothing, anywhere: true, cheap: true }
    }

    /// Whether a statement may change what the expression gives.
    fn changed_by(&self, program: &Program, stmt: &Stmt) -> bool {
        let itself = match (&self.source, &stmt.kind) {
            (Source::Variable(variable), Kind::Assign(to, _)) => variable == to,
            (Source::Memory(of), kind) => writes(program, *of, kind),
            _ => false,
        };
        itself || stmt.kind.blocks().flatten().any(|stmt| self.changed_by(program, stmt))
    }
}

/// Whether a statement may write to a memory, or make what others wrote seen.
fn writes(program: &Program, of: Memory, kind: &Kind) -> bool {
    if let Memory::Buffer(b) = of
        && program.buffers[b as usize].access == Access::Read
    {
        return false;
    }
    match kind {
        Kind::Store { memory, .. }
        | Kind::Atomic { memory, .. }
        | Kind::TileStore { memory, .. } => {
            match (of, memory) {
                // two buffers may be one
                (Memory::Buffer(_), Memory::Buffer(_)) => true,
                _ => of == *memory,
            }
        }
        Kind::Stage { to, .. } => of == *to,
        Kind::Barrier(_) | Kind::Wait(_) => true,
        _ => false,
    }
}
