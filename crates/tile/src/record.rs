//! The recorder: where the operations of a kernel that runs at build time are written down.
//!
//! One kernel is recorded at a time on a thread. Values are mere handles, so nothing but this file knows the recorder.

use std::{cell::RefCell, collections::HashSet, panic::Location};

use crate::{
    BuildError, Program,
    fold::{self, Known},
    ir::{
        Access, Binary, Block, Buffer, Const, Elem, Expr, Field, Kind, Memory, Reg, RegInfo,
        Shared, Stmt, TileInfo, TileReg, Type,
    },
};

/// Where a statement was written.
pub type At = &'static Location<'static>;

/// A program that is being written.
struct Recorder {
    program: Program,
    /// Blocks that are open, the innermost last.
    open: Vec<Block>,
    /// Constants, by register.
    known: Vec<Option<Const>>,
}

thread_local! {
    static RECORDER: RefCell<Option<Recorder>> = const { RefCell::new(None) };
}

/// Runs `kernel` and gives what it recorded, checked.
pub fn record(name: String, threads: u32, kernel: impl FnOnce()) -> Result<Program, BuildError> {
    let program = Program {
        name,
        threads,
        buffers: Vec::new(),
        fields: Vec::new(),
        shared: Vec::new(),
        regs: Vec::new(),
        tiles: Vec::new(),
        body: Vec::new(),
    };
    let recorder = Recorder { program, open: vec![Vec::new()], known: Vec::new() };
    let before = RECORDER.with_borrow_mut(|slot| slot.replace(recorder));
    assert!(before.is_none(), "a kernel is recorded within another");
    kernel();
    let recorder = RECORDER.with_borrow_mut(Option::take);
    let Recorder { mut program, mut open, .. } = recorder.expect("the recorder set above");
    program.body = open.pop().expect("the outermost block");
    assert!(open.is_empty(), "a block was left open");
    fold::drop_unread(&mut program);
    crate::check::check(&program)?;
    Ok(program)
}

/// Does something with the recorder.
fn with<R>(what: impl FnOnce(&mut Recorder) -> R) -> R {
    RECORDER.with_borrow_mut(|slot| {
        what(slot.as_mut().expect("values of kernels exist only while one is recorded"))
    })
}

/// A new immutable register.
pub fn reg(ty: Type) -> Reg {
    new_reg(RegInfo { ty, name: None, mutable: false })
}

/// A new variable.
pub fn variable(ty: Type, name: &'static str) -> Reg {
    new_reg(RegInfo { ty, name: Some(name), mutable: true })
}

fn new_reg(info: RegInfo) -> Reg {
    with(|r| {
        r.program.regs.push(info);
        r.known.push(None);
        Reg(r.program.regs.len() as u32 - 1)
    })
}

/// Names a register that has no name yet.
pub fn name(reg: Reg, name: &'static str) {
    with(|r| {
        let info = &mut r.program.regs[reg.index()];
        info.name = info.name.or(Some(name));
    });
}

/// A statement.
pub fn push(at: At, kind: Kind) {
    with(|r| r.open.last_mut().expect("an open block").push(Stmt { at, kind }));
}

/// A register with the value of an expression.
pub fn value(at: At, ty: Type, expr: Expr) -> Reg {
    let to = reg(ty);
    push(at, Kind::Let(to, expr));
    to
}

/// A register with a constant.
pub fn constant(at: At, value_of: Const) -> Reg {
    let to = value(at, value_of.ty(), Expr::Const(value_of));
    with(|r| r.known[to.index()] = Some(value_of));
    to
}

/// An operation on two registers, unless its result is known.
pub fn binary(at: At, ty: Type, op: Binary, a: Reg, b: Reg) -> Reg {
    match with(|r| fold::binary(op, r.known[a.index()], r.known[b.index()])) {
        Some(Known::Is(constant)) => self::constant(at, constant),
        Some(Known::First) => a,
        Some(Known::Second) => b,
        None => value(at, ty, Expr::Binary(op, a, b)),
    }
}

/// Opens a block.
pub fn open() {
    with(|r| r.open.push(Vec::new()));
}

/// Closes the innermost block.
pub fn close() -> Block {
    with(|r| r.open.pop().expect("an open block"))
}

/// A name made while recording, kept for ever: there are as many as kernels have memories.
pub fn intern(name: String) -> &'static str {
    thread_local! {
        static NAMES: RefCell<HashSet<&'static str>> = RefCell::default();
    }
    NAMES.with_borrow_mut(|names| match names.get(name.as_str()) {
        Some(known) => *known,
        None => {
            let kept = &*name.leak();
            names.insert(kept);
            kept
        }
    })
}

/// Declares a parameter.
pub fn buffer(name: &'static str, elem: Elem, access: Access) -> Memory {
    with(|r| {
        r.program.buffers.push(Buffer { name, elem, access });
        Memory::Buffer(r.program.buffers.len() as u32 - 1)
    })
}

/// Declares a field of the argument struct, and reads it.
#[track_caller]
pub fn field(name: &'static str, ty: Type) -> Reg {
    let index = with(|r| {
        r.program.fields.push(Field { name, ty });
        r.program.fields.len() as u32 - 1
    });
    let to = value(Location::caller(), ty, Expr::Arg(index));
    self::name(to, name);
    to
}

/// Declares an array of the threadgroup.
pub fn shared(name: &'static str, elem: Elem, len: u32) -> Memory {
    with(|r| {
        r.program.shared.push(Shared { name, elem, len });
        Memory::Shared(r.program.shared.len() as u32 - 1)
    })
}

/// Type of a memory's elements.
pub fn elem(memory: Memory) -> Elem {
    with(|r| r.program.elem(memory))
}

/// Threads of the threadgroup.
pub fn threads() -> u32 {
    with(|r| r.program.threads)
}

/// A new tile.
pub fn tile(info: TileInfo) -> TileReg {
    with(|r| {
        r.program.tiles.push(info);
        TileReg(r.program.tiles.len() as u32 - 1)
    })
}
