//! Mistakes in programs, one at a time, as people make them: to see that tests find them.
//!
//! A program with a mistake is still well formed (its registers are made before they are used, its types agree), though
//! threads may meet no more, or indices lie outside. Not every one is wrong: a barrier for four simdgroups
//! made one for a single one is harmless where there is a single one.

use tessera_tile::{
    Program,
    ir::{
        Binary, Block, Collective, Const, Expr, Kind, Line, Memory, Reg, RegInfo, Scope, Stmt, Type,
    },
};

/// A kind of mistake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mistake {
    /// A barrier is missing.
    NoBarrier,
    /// A barrier of the threadgroup waits for the simdgroup only.
    NarrowBarrier,
    /// A wait for staged copies is missing.
    NoWait,
    /// A wait for staged copies lets one group more be on its way.
    EarlyWait,
    /// `a <= b` in place of `a < b`.
    OneTooMany,
    /// A loop goes round once more.
    LongerLoop,
    /// What was done on a condition is done always.
    NoCheck,
    /// What was done on a condition is done where it does not hold.
    OtherBranch,
    /// `c * b + a` in place of `a * b + c`, in an index.
    SwappedIndices,
    /// The next element is read or written.
    NextElement,
    /// Another operator.
    Operator,
    /// Another operation of the simdgroup.
    Collective,
    /// Nothing is written.
    NoStore,
}

impl Mistake {
    /// All kinds.
    pub const ALL: [Self; 13] = [
        Self::NoBarrier,
        Self::NarrowBarrier,
        Self::NoWait,
        Self::EarlyWait,
        Self::OneTooMany,
        Self::LongerLoop,
        Self::NoCheck,
        Self::OtherBranch,
        Self::SwappedIndices,
        Self::NextElement,
        Self::Operator,
        Self::Collective,
        Self::NoStore,
    ];
}

/// A program with a mistake.
#[derive(Debug, Clone)]
pub struct Mutant {
    /// Which kind.
    pub mistake: Mistake,
    /// File and line where it was made.
    pub at: String,
    /// The program, under its old name.
    pub program: Program,
}

/// The program with a mistake at the `nth` place where it can be made, from 0; `None` past the last.
pub fn make(program: &Program, mistake: Mistake, nth: usize) -> Option<Mutant> {
    let mut editor = Editor { program, mistake, left: nth, regs: program.regs.clone(), at: None };
    let body = editor.block(&program.body);
    let at = editor.at?;
    let program = Program { regs: editor.regs, body, ..program.clone() };
    Some(Mutant { mistake, at, program })
}

/// All mistakes of all kinds.
pub fn mutants(program: &Program) -> impl Iterator<Item = Mutant> {
    Mistake::ALL.into_iter().flat_map(|mistake| of_kind(program, mistake))
}

/// All mistakes of a kind.
pub fn of_kind(program: &Program, mistake: Mistake) -> impl Iterator<Item = Mutant> {
    (0..).map_while(move |nth| make(program, mistake, nth))
}

struct Editor<'a> {
    program: &'a Program,
    mistake: Mistake,
    /// Places to pass by.
    left: usize,
    regs: Vec<RegInfo>,
    /// Where the mistake was made.
    at: Option<String>,
}

impl Editor<'_> {
    fn block(&mut self, block: &Block) -> Block {
        let mut edited = Vec::with_capacity(block.len());
        for stmt in block {
            let wrong = if self.at.is_none() { self.wrong(stmt) } else { None };
            match wrong {
                Some(stmts) if self.left == 0 => {
                    self.at = Some(Line(stmt.at).to_string());
                    edited.extend(stmts);
                }
                wrong => {
                    self.left -= usize::from(wrong.is_some());
                    edited.push(self.within(stmt));
                }
            }
        }
        edited
    }

    /// A statement whose blocks are edited.
    fn within(&mut self, stmt: &Stmt) -> Stmt {
        let mut stmt = stmt.clone();
        match &mut stmt.kind {
            Kind::If { then, otherwise, .. } => {
                *then = self.block(then);
                *otherwise = self.block(otherwise);
            }
            Kind::For { body, .. } => *body = self.block(body),
            _ => {}
        }
        stmt
    }

    /// What stands for a statement if the mistake is made there, or `None` if it cannot be.
    fn wrong(&mut self, stmt: &Stmt) -> Option<Block> {
        let one = |kind| Some(vec![Stmt { at: stmt.at, kind }]);
        match (self.mistake, &stmt.kind) {
            (Mistake::NoBarrier, Kind::Barrier(_)) => Some(Vec::new()),
            (Mistake::NarrowBarrier, Kind::Barrier(Scope::Shared | Scope::All)) => {
                one(Kind::Barrier(Scope::Simdgroup))
            }
            (Mistake::NoWait, Kind::Wait(_)) => Some(Vec::new()),
            (Mistake::EarlyWait, Kind::Wait(left)) => one(Kind::Wait(left + 1)),
            (Mistake::OneTooMany, Kind::Let(to, Expr::Binary(Binary::Lt, a, b))) => {
                one(Kind::Let(*to, Expr::Binary(Binary::Le, *a, *b)))
            }
            (Mistake::LongerLoop, Kind::For { counter, from, to, step, body }) => {
                let mut stmts = Vec::new();
                let to = self.sum(stmt, *to, *step, &mut stmts);
                let (counter, from, step, body) = (*counter, *from, *step, body.clone());
                let kind = Kind::For { counter, from, to, step, body };
                stmts.push(Stmt { at: stmt.at, kind });
                Some(stmts)
            }
            (Mistake::NoCheck, Kind::If { then, otherwise, .. }) if otherwise.is_empty() => {
                Some(then.clone())
            }
            (Mistake::OtherBranch, Kind::If { condition, then, otherwise }) => one(Kind::If {
                condition: *condition,
                then: otherwise.clone(),
                otherwise: then.clone(),
            }),
            (Mistake::SwappedIndices, Kind::Let(to, Expr::Binary(Binary::Add, product, c)))
                if is_index(&self.program.body, *to) =>
            {
                let (a, b) = product_of(&self.program.body, *product)?;
                let (c, mut stmts) = (*c, Vec::new());
                let swapped =
                    self.reg(stmt, Type::U32, Expr::Binary(Binary::Mul, c, b), &mut stmts);
                let kind = Kind::Let(*to, Expr::Binary(Binary::Add, swapped, a));
                stmts.push(Stmt { at: stmt.at, kind });
                Some(stmts)
            }
            (Mistake::NextElement, Kind::Load { index, .. } | Kind::Store { index, .. }) => {
                let mut stmts = Vec::new();
                let one = self.reg(stmt, Type::U32, Expr::Const(Const::U32(1)), &mut stmts);
                let next = self.sum(stmt, *index, one, &mut stmts);
                let mut moved = stmt.clone();
                if let Kind::Load { index, .. } | Kind::Store { index, .. } = &mut moved.kind {
                    *index = next;
                }
                stmts.push(moved);
                Some(stmts)
            }
            (Mistake::Operator, Kind::Let(to, Expr::Binary(op, a, b))) => {
                let op = other_operator(*op, self.program.ty(*a))?;
                one(Kind::Let(*to, Expr::Binary(op, *a, *b)))
            }
            (Mistake::Operator, Kind::Let(to, Expr::Fma(a, b, _))) => {
                one(Kind::Let(*to, Expr::Binary(Binary::Mul, *a, *b)))
            }
            (Mistake::Collective, Kind::Collective { op, to, value, lane }) => {
                let op = other_collective(*op)?;
                one(Kind::Collective { op, to: *to, value: *value, lane: *lane })
            }
            (Mistake::NoStore, Kind::Store { .. }) => Some(Vec::new()),
            _ => None,
        }
    }

    /// A new register.
    fn reg(&mut self, near: &Stmt, ty: Type, expr: Expr, stmts: &mut Block) -> Reg {
        let reg = Reg(self.regs.len() as u32);
        self.regs.push(RegInfo { ty, name: None, mutable: false });
        stmts.push(Stmt { at: near.at, kind: Kind::Let(reg, expr) });
        reg
    }

    fn sum(&mut self, near: &Stmt, a: Reg, b: Reg, stmts: &mut Block) -> Reg {
        self.reg(near, Type::U32, Expr::Binary(Binary::Add, a, b), stmts)
    }
}

/// Whether any statement, however deep, holds this.
fn any(block: &Block, holds: &mut impl FnMut(&Kind) -> bool) -> bool {
    block
        .iter()
        .any(|stmt| holds(&stmt.kind) || stmt.kind.blocks().any(|within| any(within, holds)))
}

/// Whether a register is where something in memory is looked up.
fn is_index(body: &Block, reg: Reg) -> bool {
    any(body, &mut |kind| match kind {
        Kind::Load { index, .. }
        | Kind::Store { index, .. }
        | Kind::Stage { index, .. }
        | Kind::Atomic { index, .. }
        | Kind::TileLoad { index, memory: Memory::Shared(_), .. }
        | Kind::TileStore { index, .. } => *index == reg,
        _ => false,
    })
}

/// The factors of a product.
fn product_of(body: &Block, reg: Reg) -> Option<(Reg, Reg)> {
    let mut found = None;
    any(body, &mut |kind| {
        if let Kind::Let(to, Expr::Binary(Binary::Mul, a, b)) = kind
            && *to == reg
        {
            found = Some((*a, *b));
        }
        found.is_some()
    });
    found
}

fn other_operator(op: Binary, ty: Type) -> Option<Binary> {
    Some(match op {
        Binary::Add => Binary::Sub,
        Binary::Sub | Binary::Mul => Binary::Add,
        Binary::Div => Binary::Mul,
        Binary::Rem => Binary::Div,
        Binary::And => Binary::Or,
        Binary::Or | Binary::Xor => Binary::And,
        Binary::Shl => Binary::Shr,
        Binary::Shr => Binary::Shl,
        Binary::Min => Binary::Max,
        Binary::Max => Binary::Min,
        Binary::Eq => Binary::Ne,
        Binary::Ne => Binary::Eq,
        Binary::Le if ty != Type::Bool => Binary::Lt,
        Binary::Lt | Binary::Le => return None,
    })
}

fn other_collective(op: Collective) -> Option<Collective> {
    match op {
        Collective::Sum => Some(Collective::Max),
        Collective::Max => Some(Collective::Min),
        Collective::Min => Some(Collective::Max),
        Collective::ShuffleXor(mask) => Some(Collective::ShuffleXor(mask ^ 1)),
        Collective::PrefixSum => Some(Collective::Sum),
        Collective::Shuffle | Collective::Ballot => None,
    }
}
