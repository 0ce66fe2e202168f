//! Statements, as both languages write them.

use std::collections::HashMap;

use crate::{
    Program,
    ir::{Block, Builtin, Elem, Expr, Kind, Line, Memory, Reg, Stmt, TileReg, TileRole},
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
        sums: sums(program),
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

    /// Address of an element.
    fn address(&self, memory: Memory, index: Reg) -> Text {
        let name = Text::atom(self.memories.name(memory));
        match self.text(index) {
            index if index.text == "0u" => name,
            index => Text::infix(&name, "+", index, Binds::Sum),
        }
    }

    fn element(&self, memory: Memory, index: Reg) -> Text {
        Text::atom(format!("{}[{}]", self.memories.name(memory), self.text(index).text))
    }

    fn load(&mut self, stmt: &Stmt, to: &[Reg], memory: Memory, index: Reg) {
        let elem = self.program.elem(memory);
        if let [to] = to {
            let text = self.dialect.widen_one(elem, self.element(memory, index));
            return self.make(stmt, *to, text);
        }
        let wide = self.dialect.wide(elem, to.len());
        let address = self.address(memory, index);
        let raw = self.dialect.wide_at(memory, &wide, true, &address);
        let base = self.memories.name(memory).to_string();
        if to.len() < 8 {
            return self.vector(stmt, to, elem, &base, &raw);
        }
        let whole = self.names.unique(&format!("{base}_bits"));
        self.begin(stmt, format!("const {wide} {whole} = {raw};"));
        for (part, upper) in to.chunks(4).zip([false, true]) {
            if part.iter().any(|&reg| self.places.used(reg)) {
                let raw = self.dialect.half_of(elem, &whole, upper);
                self.vector(stmt, part, elem, &base, &raw);
            }
        }
    }

    /// Up to four neighbours, in a vector.
    fn vector(&mut self, stmt: &Stmt, to: &[Reg], elem: Elem, base: &str, raw: &str) {
        let name = self.names.unique(&format!("{base}_v"));
        let value = self.dialect.widen(elem, to.len(), raw);
        let ty = type_name(elem.value());
        self.begin(stmt, format!("const {ty}{} {name} = {value};", to.len()));
        for (&reg, component) in to.iter().zip(COMPONENTS) {
            self.texts[reg.index()] = Some(Text::atom(format!("{name}.{component}")));
        }
    }

    fn store(&mut self, stmt: &Stmt, from: &[Reg], memory: Memory, index: Reg) {
        let elem = self.program.elem(memory);
        let values: Vec<&Text> = from.iter().map(|&reg| self.text(reg)).collect();
        if let [value] = values[..] {
            let value = self.dialect.narrow_one(elem, value).text;
            let element = self.element(memory, index).text;
            return self.begin(stmt, format!("{element} = {value};"));
        }
        let value = match &values[..] {
            [lower @ .., _, _, _, _] if lower.len() == 4 => {
                let [lower, upper] =
                    [&values[..4], &values[4..]].map(|four| self.dialect.narrow(elem, four));
                self.dialect.join(elem, &lower, &upper)
            }
            few => self.dialect.narrow(elem, few),
        };
        let wide = self.dialect.wide(elem, from.len());
        let address = self.address(memory, index);
        let place = self.dialect.wide_at(memory, &wide, false, &address);
        self.begin(stmt, format!("{place} = {value};"));
    }

    fn tile(&mut self, stmt: &Stmt) {
        let pointer = |body: &Self, memory, index| body.address(memory, index).text;
        let line = match &stmt.kind {
            Kind::TileFill { tile, value } => {
                let elem = self.sums.get(tile).copied().unwrap_or(Elem::F16);
                let name = self.declare(stmt, *tile, "sum", elem, false);
                let value = expression::constant(self.dialect, crate::ir::Const::F32(*value));
                format!("tile_fill({name}, {});", value.text)
            }
            Kind::TileLoad { tile, memory, index, stride, transposed } => {
                let info = self.program.tiles[tile.0 as usize];
                let base = match info.role {
                    TileRole::Left => "left",
                    TileRole::Right => "right",
                    TileRole::Sum => "sum",
                };
                let name = self.declare(stmt, *tile, base, info.elem, *transposed);
                let function = if *transposed { "tile_load_transposed" } else { "tile_load" };
                let from = pointer(self, *memory, *index);
                format!("{function}({name}, {from}, {stride}u);")
            }
            Kind::TileMultiply { sum, left, right } => {
                let [sum, left, right] = [sum, left, right].map(|tile| &self.tiles[tile]);
                format!("tile_multiply({sum}, {left}, {right});")
            }
            Kind::TileStore { tile, memory, index, stride } => {
                let to = pointer(self, *memory, *index);
                format!("tile_store({}, {to}, {stride}u);", self.tiles[tile])
            }
            _ => return,
        };
        self.begin(stmt, line);
    }

    /// Name of a tile, which is declared where it is first made.
    fn declare(
        &mut self,
        stmt: &Stmt,
        tile: TileReg,
        base: &str,
        elem: Elem,
        transposed: bool,
    ) -> String {
        if let Some(name) = self.tiles.get(&tile) {
            return name.clone();
        }
        let role = self.program.tiles[tile.0 as usize].role;
        let name = self.names.unique(base);
        self.begin(stmt, format!("{} {name};", self.dialect.tile(role, elem, transposed)));
        self.tiles.insert(tile, name.clone());
        name
    }
}

/// Of what elements each sum is: a device may keep them differently.
fn sums(program: &Program) -> HashMap<TileReg, Elem> {
    fn block(program: &Program, of: &Block, sums: &mut HashMap<TileReg, Elem>) {
        for stmt in of {
            if let Kind::TileMultiply { sum, left, .. } = &stmt.kind {
                sums.insert(*sum, program.tiles[left.0 as usize].elem);
            }
            stmt.kind.blocks().for_each(|of| block(program, of, sums));
        }
    }
    let mut sums = HashMap::new();
    block(program, &program.body, &mut sums);
    sums
}
