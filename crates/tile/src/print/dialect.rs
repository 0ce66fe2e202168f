//! What the languages differ in.

use crate::{
    Program,
    ir::{AtomicOp, Collective, Elem, Memory, Scope, TileRole, Type, Unary},
};

use super::{names::Names, text::Text};

/// A language.
pub trait Dialect {
    /// The lines before the body: argument struct, signature and `{`. Parameters have their names in `memories`.
    fn head(&self, program: &Program, memories: &Memories) -> Vec<String>;

    /// What stands at the top of the body before the shared arrays, for what a thread knows of itself.
    fn beginning(&self, program: &Program) -> Vec<String>;

    /// Type of an element in memory.
    fn elem(&self, elem: Elem) -> &'static str;

    /// Declaration of a shared array.
    fn shared(&self, elem: Elem, name: &str, len: u32) -> String;

    /// An element widened to the type of a register.
    fn widen_one(&self, elem: Elem, x: Text) -> Text;

    /// A register narrowed to an element.
    fn narrow_one(&self, elem: Elem, x: &Text) -> Text;

    /// The type that several neighbours are loaded and stored as.
    fn wide(&self, elem: Elem, count: usize) -> String;

    /// `wide*` of the elements that begin at `address`.
    fn wide_at(&self, memory: Memory, wide: &str, constant: bool, address: &Text) -> String;

    /// Four of the eight elements that were loaded at once, as they would have been loaded alone.
    fn half_of(&self, elem: Elem, whole: &str, upper: bool) -> String;

    /// 2 or 4 neighbours widened to a vector of `float`, `uint` or `int`.
    fn widen(&self, elem: Elem, count: usize, raw: &str) -> String;

    /// 2 or 4 values narrowed to what is stored.
    fn narrow(&self, elem: Elem, values: &[&Text]) -> String;

    /// Two times four neighbours as eight.
    fn join(&self, elem: Elem, lower: &str, upper: &str) -> String;

    /// A function of one float, or a count of bits.
    fn unary(&self, op: Unary, x: &Text) -> Text;

    /// The smaller or larger one.
    fn extreme(&self, ty: Type, largest: bool, a: &Text, b: &Text) -> Text;

    /// `a * b + c`, rounded once.
    fn fma(&self, a: &Text, b: &Text, c: &Text) -> Text;

    /// The same bits of another type.
    fn bits(&self, from: Type, to: Type, x: &Text) -> Text;

    /// The end of a group of staged copies, where a language has such groups.
    fn commit(&self) -> Option<String>;

    /// What waits for all groups but so many.
    fn wait(&self, left: u32) -> Option<String>;

    /// A barrier.
    fn barrier(&self, scope: Scope) -> &'static str;

    /// An operation of a simdgroup.
    fn collective(&self, op: Collective, ty: Type, value: &Text, lane: Option<&Text>) -> Text;

    /// An atomic operation on the element at `address`.
    fn atomic(&self, op: AtomicOp, memory: Memory, address: &Text, value: &Text) -> String;

    /// Type of a tile. A sum is told which elements it sums.
    fn tile(&self, role: TileRole, elem: Elem, transposed: bool) -> String;
}

/// Names of the memories of a program.
#[derive(Debug)]
pub struct Memories {
    /// Of each buffer.
    pub buffers: Vec<String>,
    /// Of each shared array.
    pub shared: Vec<String>,
    /// Of each field of the argument struct.
    pub fields: Vec<String>,
}

impl Memories {
    /// Gives them their names.
    pub fn of(program: &Program, names: &mut Names) -> Self {
        let buffers = program.buffers.iter().map(|b| names.unique(b.name)).collect();
        let shared = program.shared.iter().map(|s| names.unique(s.name)).collect();
        // a struct is a room of its own
        let mut inner = Names::default();
        let fields = program.fields.iter().map(|f| inner.unique(f.name)).collect();
        Self { buffers, shared, fields }
    }

    /// Name of a memory.
    pub fn name(&self, memory: Memory) -> &str {
        match memory {
            Memory::Buffer(b) => &self.buffers[b as usize],
            Memory::Shared(s) => &self.shared[s as usize],
        }
    }
}

/// Name of a register's type, the same in both languages.
pub fn type_name(ty: Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::I32 => "int",
        Type::U32 => "uint",
        Type::F32 => "float",
    }
}

/// The argument struct, if there are arguments.
pub fn arguments(program: &Program, memories: &Memories) -> Vec<String> {
    if program.fields.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![format!("struct {}_args {{", program.name)];
    for (field, name) in program.fields.iter().zip(&memories.fields) {
        lines.push(format!("    {} {name};", type_name(field.ty)));
    }
    lines.extend(["};".into(), String::new()]);
    lines
}
