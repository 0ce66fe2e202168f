//! Statements, as both languages write them.

mod memory;
mod tiles;

use std::collections::HashMap;

use crate::{
    Program,
    ir::{Block, Builtin, Elem, Expr, Kind, Line, Reg, Stmt, TileReg},
};

use super::{
    dialect::{Dialect, Memories, type_name},
    expression,
    names::Names,
    place::Places,
    text::{Binds, Text},
};

/// Longer expressions get a register of their own.
const LONGEST: usize = 100;

/// Names of the components of a vector.
const COMPONENTS: [&str; 4] = ["x", "y", "z", "w"];

/// Prints a program.
pub fn print(program: &Program, dialect: &dyn Dialect) -> String {
    let mut names = Names::default();
    let memories = Memories::of(program, &mut names);
    let mut lines = dialect.head(program, &memories);
    let mut body = Body {
        program,
        dialect,
        places: Places::of(program),
        sums: tiles::sums(program),
        texts: vec![None; program.regs.len()],
        tiles: HashMap::new(),
        lines: Vec::new(),
        depth: 1,
        place: None,
        names,
        memories,
    };
    for line in dialect.beginning(program) {
        body.line(line);
    }
    for (array, name) in program.shared.iter().zip(&body.memories.shared) {
        let line = dialect.shared(array.elem, name, array.len);
        body.lines.push(Printed { depth: 1, text: line });
    }
    body.block(&program.body);
    let printed = body.lines.into_iter();
    lines.extend(printed.map(|line| format!("{:1$}{2}", "", 4 * line.depth, line.text)));
    lines.push("}\n".into());
    lines.join("\n")
}

/// A line of the body.
struct Printed {
    depth: usize,
    text: String,
}

struct Body<'a> {
    program: &'a Program,
    dialect: &'a dyn Dialect,
    places: Places,
    /// Of what elements each sum is.
    sums: HashMap<TileReg, Elem>,
    names: Names,
    memories: Memories,
    /// What stands for each register that has been made.
    texts: Vec<Option<Text>>,
    tiles: HashMap<TileReg, String>,
    lines: Vec<Printed>,
    depth: usize,
    /// File and line of the last statement that was printed.
    place: Option<(&'static str, u32)>,
}

impl Body<'_> {
    fn line(&mut self, text: impl Into<String>) {
        self.lines.push(Printed { depth: self.depth, text: text.into() });
    }

    /// A line that begins what a statement does; where its source line is a new one, it is told.
    fn begin(&mut self, stmt: &Stmt, text: impl Into<String>) {
        let mut text = text.into();
        let place = (stmt.at.file(), stmt.at.line());
        if self.place.replace(place) != Some(place) {
            text.push_str(&format!("  // {}", Line(stmt.at)));
        }
        self.line(text);
    }

    fn block(&mut self, block: &Block) {
        for stmt in block.iter().filter(|stmt| self.places.needed(stmt)).collect::<Vec<_>>() {
            self.stmt(stmt);
        }
    }

    fn text(&self, reg: Reg) -> &Text {
        let text = self.texts[reg.index()].as_ref();
        text.expect("checked programs make a register before they use it")
    }

    /// A name for a register, for which it stands from now on.
    fn name(&mut self, reg: Reg) -> String {
        let name = self.names.unique(self.program.regs[reg.index()].name.unwrap_or("t"));
        self.texts[reg.index()] = Some(Text::atom(&name));
        name
    }

    /// Makes an immutable register, in place or as a line.
    fn make(&mut self, stmt: &Stmt, reg: Reg, text: Text) {
        let trivial = text.binds == Binds::Atom && !text.text.contains('(');
        if self.places.inline(reg) && (trivial || text.text.len() <= LONGEST) {
            self.texts[reg.index()] = Some(text);
            return;
        }
        let ty = type_name(self.program.ty(reg));
        let name = self.name(reg);
        self.begin(stmt, format!("const {ty} {name} = {};", text.text));
    }

    fn stmt(&mut self, stmt: &Stmt) {
        match &stmt.kind {
            Kind::Let(to, expr) => {
                let text = self.expr(expr);
                self.make(stmt, *to, text);
            }
            Kind::Assign(to, from) => self.assign(stmt, *to, *from),
            Kind::Load { to, memory, index } => self.load(stmt, to, *memory, *index),
            Kind::Store { from, memory, index } => self.store(stmt, from, *memory, *index),
            Kind::Stage { .. } => self.stage(stmt),
            Kind::Commit => {
                if let Some(text) = self.dialect.commit() {
                    self.begin(stmt, text);
                }
            }
            Kind::Wait(left) => {
                if let Some(text) = self.dialect.wait(*left) {
                    self.begin(stmt, text);
                }
            }
            Kind::Atomic { op, old, memory, index, value } => {
                let address = self.address(*memory, *index);
                let text = self.dialect.atomic(*op, *memory, &address, self.text(*value));
                if self.places.used(*old) {
                    let name = self.name(*old);
                    self.begin(stmt, format!("const uint {name} = {text};"));
                } else {
                    self.begin(stmt, format!("{text};"));
                }
            }
            Kind::If { condition, then, otherwise } => {
                self.branch(stmt, *condition, then, otherwise)
            }
            Kind::For { counter, from, to, step, body } => {
                let [from, to, step] = [*from, *to, *step].map(|reg| self.text(reg).clone());
                let i = self.name(*counter);
                let limit = to.operand(Binds::Sum);
                let (from, step) = (from.text, step.text);
                self.begin(
                    stmt,
                    format!("for (uint {i} = {from}; {i} < {limit}; {i} += {step}) {{"),
                );
                self.depth += 1;
                self.block(body);
                self.depth -= 1;
                self.line("}");
            }
            Kind::Barrier(scope) => self.begin(stmt, self.dialect.barrier(*scope)),
            Kind::Collective { op, to, value, lane } => {
                let ty = self.program.ty(*value);
                let lane = lane.map(|lane| self.text(lane));
                let text = self.dialect.collective(*op, ty, self.text(*value), lane);
                let ty = type_name(self.program.ty(*to));
                let name = self.name(*to);
                self.begin(stmt, format!("const {ty} {name} = {};", text.text));
            }
            Kind::TileFill { .. }
            | Kind::TileLoad { .. }
            | Kind::TileMultiply { .. }
            | Kind::TileStore { .. } => self.tile(stmt),
        }
    }

    fn expr(&self, expr: &Expr) -> Text {
        let ty = |reg: Reg| self.program.ty(reg);
        match *expr {
            Expr::Const(value) => expression::constant(self.dialect, value),
            Expr::Arg(field) => {
                Text::atom(format!("args.{}", self.memories.fields[field as usize]))
            }
            Expr::Builtin(Builtin::Group(axis)) => {
                Text::atom(format!("group_index.{}", COMPONENTS[axis as usize]))
            }
            Expr::Builtin(Builtin::Thread) => Text::atom("thread_index"),
            Expr::Builtin(Builtin::Lane) => Text::atom("lane_index"),
            Expr::Builtin(Builtin::Simdgroup) => Text::atom("simdgroup_index"),
            Expr::Read(variable) => self.text(variable).clone(),
            Expr::Unary(op, x) => expression::unary(self.dialect, op, ty(x), self.text(x)),
            Expr::Binary(op, a, b) => {
                expression::binary(self.dialect, op, ty(a), self.text(a), self.text(b))
            }
            Expr::Fma(a, b, c) => self.dialect.fma(self.text(a), self.text(b), self.text(c)),
            Expr::Select(c, a, b) => expression::select(self.text(c), self.text(a), self.text(b)),
            Expr::Convert(to, x) => expression::convert(ty(x), to, self.text(x)),
            Expr::Bits(to, x) => self.dialect.bits(ty(x), to, self.text(x)),
        }
    }

    /// The first assignment declares the variable.
    fn assign(&mut self, stmt: &Stmt, to: Reg, from: Reg) {
        let value = self.text(from).clone();
        let line = match &self.texts[to.index()] {
            Some(name) => match value.change {
                Some(change) if change.0 == name.text => format!("{} {};", name.text, change.1),
                _ => format!("{} = {};", name.text, value.text),
            },
            None => {
                let name = self.name(to);
                format!("{} {name} = {};", type_name(self.program.ty(to)), value.text)
            }
        };
        self.begin(stmt, line);
    }

    fn branch(&mut self, stmt: &Stmt, condition: Reg, then: &Block, otherwise: &Block) {
        let condition = self.text(condition).text.clone();
        self.begin(stmt, format!("if ({condition}) {{"));
        self.depth += 1;
        self.block(then);
        let from = self.lines.len();
        self.block(otherwise);
        self.depth -= 1;
        let rest = &mut self.lines[from..];
        let chained = rest.first().is_some_and(|first| first.text.starts_with("if ("))
            && rest.iter().filter(|line| line.depth == self.depth + 1 && line.text == "}").count()
                == 1
            && rest.last().is_some_and(|last| last.text == "}");
        match rest.first_mut() {
            None => self.line("}"),
            Some(first) if chained => {
                first.text.insert_str(0, "} else ");
                rest.iter_mut().for_each(|line| line.depth -= 1);
            }
            Some(_) => {
                self.lines.insert(from, Printed { depth: self.depth, text: "} else {".into() });
                self.line("}");
            }
        }
    }
}
