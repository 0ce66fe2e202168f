//! What is known while recording is not computed by every thread: constants of whole numbers are folded, and what nobody
//! reads is dropped. Nothing else is optimised; devices have compilers.

use crate::ir::{Binary, Block, Const, Expr, Kind, Program, Reg, Stmt};

/// What an operation gives if it is known: a constant, or one of its operands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Known {
    /// A constant.
    Is(Const),
    /// The first operand.
    First,
    /// The second operand.
    Second,
}

/// Folds an operation on u32 whose operands may be known.
pub fn binary(op: Binary, a: Option<Const>, b: Option<Const>) -> Option<Known> {
    let number = |x: Option<Const>| match x {
        Some(Const::U32(x)) => Some(x),
        _ => None,
    };
    if let (Some(Const::Bool(a)), Some(Const::Bool(b))) = (a, b) {
        return Some(Known::Is(Const::Bool(match op {
            Binary::And => a & b,
            Binary::Or => a | b,
            Binary::Xor | Binary::Ne => a != b,
            Binary::Eq => a == b,
            _ => return None,
        })));
    }
    let (a, b) = (number(a), number(b));
    if let (Some(a), Some(b)) = (a, b) {
        let is = |x: u32| Some(Known::Is(Const::U32(x)));
        let holds = |x: bool| Some(Known::Is(Const::Bool(x)));
        return match op {
            Binary::Add => is(a.wrapping_add(b)),
            Binary::Sub => is(a.wrapping_sub(b)),
            Binary::Mul => is(a.wrapping_mul(b)),
            Binary::Div => a.checked_div(b).and_then(is),
            Binary::Rem => a.checked_rem(b).and_then(is),
            Binary::And => is(a & b),
            Binary::Or => is(a | b),
            Binary::Xor => is(a ^ b),
            Binary::Shl => a.checked_shl(b).and_then(is),
            Binary::Shr => a.checked_shr(b).and_then(is),
            Binary::Min => is(a.min(b)),
            Binary::Max => is(a.max(b)),
            Binary::Lt => holds(a < b),
            Binary::Le => holds(a <= b),
            Binary::Eq => holds(a == b),
            Binary::Ne => holds(a != b),
        };
    }
    match (op, a, b) {
        (Binary::Add | Binary::Or | Binary::Xor, Some(0), _) | (Binary::Mul, Some(1), _) => {
            Some(Known::Second)
        }
        (
            Binary::Add | Binary::Sub | Binary::Or | Binary::Xor | Binary::Shl | Binary::Shr,
            _,
            Some(0),
        )
        | (Binary::Mul | Binary::Div, _, Some(1)) => Some(Known::First),
        (Binary::Mul | Binary::And, Some(0), _) | (Binary::Mul | Binary::And, _, Some(0)) => {
            Some(Known::Is(Const::U32(0)))
        }
        _ => None,
    }
}

/// Drops registers that nobody reads and that have no effect.
pub fn drop_unread(program: &mut Program) {
    loop {
        let mut read = vec![false; program.regs.len()];
        mark(&program.body, &mut read);
        if !sweep(&mut program.body, &read) {
            return;
        }
    }
}

fn mark(block: &Block, read: &mut [bool]) {
    for stmt in block {
        stmt.kind.reads(|reg| read[reg.index()] = true);
        stmt.kind.blocks().for_each(|inner| mark(inner, read));
    }
}

/// Whether anything went.
fn sweep(block: &mut Block, read: &[bool]) -> bool {
    let before = block.len();
    let unread = |reg: &Reg| !read[reg.index()];
    block.retain(|Stmt { kind, .. }| match kind {
        Kind::Let(to, expr) => {
            // a division may stop the simulator, and shall
            let fails = matches!(
                expr,
                Expr::Binary(Binary::Div | Binary::Rem | Binary::Shl | Binary::Shr, ..)
            );
            fails || !unread(to)
        }
        Kind::Assign(to, _) => !unread(to),
        _ => true,
    });
    let mut went = block.len() < before;
    for stmt in block {
        if let Kind::If { then, otherwise, .. } = &mut stmt.kind {
            went |= sweep(then, read) | sweep(otherwise, read);
        }
        if let Kind::For { body, .. } = &mut stmt.kind {
            went |= sweep(body, read);
        }
    }
    went
}
