//! Runs a program of a single thread.

use tessera_tile::{
    Program,
    ir::{Binary, Block, Const, Expr, Kind, Memory, Reg, Type, Unary},
};

use crate::value::{Memories, Value, bits};

/// Runs it.
pub fn run(program: &Program, memories: &mut Memories) {
    let regs = vec![None; program.regs.len()];
    let staged = vec![Vec::new()];
    Thread { program, memories, regs, staged }.block(&program.body);
}

struct Thread<'a> {
    program: &'a Program,
    memories: &'a mut Memories,
    regs: Vec<Option<Value>>,
    /// Copies that are on their way, by group: where to, and what.
    staged: Vec<Vec<(Memory, u32, Value)>>,
}

impl Thread<'_> {
    fn get(&self, reg: Reg) -> Value {
        self.regs[reg.index()].unwrap()
    }

    fn word(&self, reg: Reg) -> u32 {
        let Value::U32(x) = self.get(reg) else { panic!("no word") };
        x
    }

    fn element(&mut self, memory: Memory, index: u32) -> &mut Value {
        let memory = self.memories.get_mut(self.program.memory_name(memory)).unwrap();
        &mut memory[index as usize]
    }

    fn block(&mut self, block: &Block) {
        for stmt in block {
            match &stmt.kind {
                Kind::Let(to, expr) => self.regs[to.index()] = Some(self.expr(expr)),
                Kind::Assign(to, from) => self.regs[to.index()] = Some(self.get(*from)),
                Kind::Load { to, memory, index } => {
                    for (i, to) in (self.word(*index)..).zip(to) {
                        self.regs[to.index()] = Some(*self.element(*memory, i));
                    }
                }
                Kind::Store { from, memory, index } => {
                    for (i, &from) in (self.word(*index)..).zip(from) {
                        *self.element(*memory, i) = self.get(from);
                    }
                }
                Kind::Stage { to, at, from, index, count, inside } => {
                    let inside = inside.is_none_or(|inside| self.get(inside) == Value::Bool(true));
                    for i in 0..*count {
                        let value = match inside {
                            true => *self.element(*from, self.word(*index) + i),
                            false => Value::U32(0),
                        };
                        let copy = (*to, self.word(*at) + i, value);
                        self.staged.last_mut().unwrap().push(copy);
                    }
                }
                Kind::Commit => self.staged.push(Vec::new()),
                Kind::Wait(left) => {
                    // the last is no group yet
                    let done = self.staged.len().saturating_sub(1 + *left as usize);
                    for (to, at, value) in self.staged.drain(..done).flatten().collect::<Vec<_>>() {
                        *self.element(to, at) = value;
                    }
                }
                Kind::If { condition, then, otherwise } => match self.get(*condition) {
                    Value::Bool(true) => self.block(then),
                    _ => self.block(otherwise),
                },
                Kind::For { counter, from, to, step, body } => {
                    let [mut i, to, step] = [*from, *to, *step].map(|reg| self.word(reg));
                    while i < to {
                        self.regs[counter.index()] = Some(Value::U32(i));
                        self.block(body);
                        i += step;
                    }
                }
                other => panic!("not of a single thread: {other:?}"),
            }
        }
    }

    fn expr(&self, expr: &Expr) -> Value {
        match *expr {
            Expr::Const(Const::Bool(x)) => Value::Bool(x),
            Expr::Const(Const::I32(x)) => Value::I32(x),
            Expr::Const(Const::U32(x)) => Value::U32(x),
            Expr::Const(Const::F32(x)) => Value::F32(x),
            Expr::Read(reg) => self.get(reg),
            Expr::Unary(op, x) => unary(op, self.get(x)),
            Expr::Binary(op, a, b) => binary(op, self.get(a), self.get(b)),
            Expr::Fma(a, b, c) => match [a, b, c].map(|reg| self.get(reg)) {
                [Value::F32(a), Value::F32(b), Value::F32(c)] => Value::F32(a.mul_add(b, c)),
                other => panic!("{other:?}"),
            },
            Expr::Select(c, a, b) if self.get(c) == Value::Bool(true) => {
                let _ = b;
                self.get(a)
            }
            Expr::Select(_, _, b) => self.get(b),
            Expr::Convert(to, x) => convert(to, self.get(x)),
            Expr::Bits(to, x) => {
                let bits = match self.get(x) {
                    Value::F32(x) => bits(x),
                    Value::U32(x) => x,
                    Value::I32(x) => x as u32,
                    Value::Bool(_) => panic!("bits of a bool"),
                };
                match to {
                    Type::F32 => Value::F32(f32::from_bits(bits)),
                    Type::U32 => Value::U32(bits),
                    Type::I32 => Value::I32(bits as i32),
                    Type::Bool => panic!("bits to a bool"),
                }
            }
            Expr::Arg(_) | Expr::Builtin(_) => panic!("not in these programs"),
        }
    }
}

fn unary(op: Unary, x: Value) -> Value {
    match (op, x) {
        (Unary::Neg, Value::F32(x)) => Value::F32(-x),
        (Unary::Neg, Value::I32(x)) => Value::I32(x.wrapping_neg()),
        (Unary::Neg, Value::U32(x)) => Value::U32(x.wrapping_neg()),
        (Unary::Not, Value::Bool(x)) => Value::Bool(!x),
        (Unary::Not, Value::I32(x)) => Value::I32(!x),
        (Unary::Not, Value::U32(x)) => Value::U32(!x),
        (Unary::Abs, Value::F32(x)) => Value::F32(x.abs()),
        (Unary::Abs, Value::I32(x)) => Value::I32(x.wrapping_abs()),
        (Unary::Popcount, Value::U32(x)) => Value::U32(x.count_ones()),
        (Unary::LeadingZeros, Value::U32(x)) => Value::U32(x.leading_zeros()),
        other => panic!("{other:?}"),
    }
}

fn binary(op: Binary, a: Value, b: Value) -> Value {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Value::Bool(match op {
            Binary::And => a & b,
            Binary::Or => a | b,
            Binary::Xor => a ^ b,
            _ => panic!("{op:?} of bools"),
        }),
        (Value::U32(a), Value::U32(b)) => Value::U32(match op {
            Binary::Add => a.wrapping_add(b),
            Binary::Sub => a.wrapping_sub(b),
            Binary::Mul => a.wrapping_mul(b),
            Binary::Div => a / b,
            Binary::Rem => a % b,
            Binary::And => a & b,
            Binary::Or => a | b,
            Binary::Xor => a ^ b,
            Binary::Shl => a << b,
            Binary::Shr => a >> b,
            Binary::Min => a.min(b),
            Binary::Max => a.max(b),
            _ => return compare(op, a, b),
        }),
        (Value::I32(a), Value::I32(b)) => Value::I32(match op {
            Binary::Add => a.wrapping_add(b),
            Binary::Sub => a.wrapping_sub(b),
            Binary::Mul => a.wrapping_mul(b),
            Binary::Div => a / b,
            Binary::Rem => a % b,
            Binary::And => a & b,
            Binary::Or => a | b,
            Binary::Xor => a ^ b,
            Binary::Shl => a << b,
            Binary::Shr => a >> b,
            Binary::Min => a.min(b),
            Binary::Max => a.max(b),
            _ => return compare(op, a, b),
        }),
        (Value::F32(a), Value::F32(b)) => Value::F32(match op {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::Min => a.min(b),
            Binary::Max => a.max(b),
            _ => return compare(op, a, b),
        }),
        other => panic!("{op:?} of {other:?}"),
    }
}

fn compare<T: PartialOrd + std::fmt::Debug>(op: Binary, a: T, b: T) -> Value {
    Value::Bool(match op {
        Binary::Lt => a < b,
        Binary::Le => a <= b,
        Binary::Eq => a == b,
        Binary::Ne => a != b,
        _ => panic!("{op:?} of {a:?}"),
    })
}

fn convert(to: Type, x: Value) -> Value {
    match (to, x) {
        (Type::F32, Value::U32(x)) => Value::F32(x as f32),
        (Type::F32, Value::I32(x)) => Value::F32(x as f32),
        (Type::F32, Value::Bool(x)) => Value::F32(u8::from(x).into()),
        (Type::U32, Value::F32(x)) => Value::U32(x as u32),
        (Type::U32, Value::I32(x)) => Value::U32(x as u32),
        (Type::U32, Value::Bool(x)) => Value::U32(x.into()),
        (Type::I32, Value::F32(x)) => Value::I32(x as i32),
        (Type::I32, Value::U32(x)) => Value::I32(x as i32),
        (Type::I32, Value::Bool(x)) => Value::I32(x.into()),
        other => panic!("{other:?}"),
    }
}
