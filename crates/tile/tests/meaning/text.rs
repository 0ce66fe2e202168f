//! Runs the text of a kernel of a single thread, as C++ would, and strictly.

use std::collections::HashMap;

use crate::{
    parse::{self, Line, Term},
    value::{Memories, Value, bits},
};

type Result<T> = std::result::Result<T, String>;

/// Runs it; says what is wrong with it.
pub fn run(text: &str, memories: &mut Memories) -> Result<()> {
    let lines = parse::kernel(text)?;
    Thread { memories, names: HashMap::new() }.block(&lines)
}

struct Thread<'a> {
    memories: &'a mut Memories,
    /// Value of each name, and whether it is constant.
    names: HashMap<String, (Vec<Value>, bool)>,
}

impl Thread<'_> {
    fn block(&mut self, lines: &[Line]) -> Result<()> {
        let mut declared = Vec::new();
        for line in lines {
            if let Line::Declare { name, .. } = line {
                declared.push(name);
            }
            self.line(line)?;
        }
        for name in declared {
            self.names.remove(name);
        }
        Ok(())
    }

    fn declare(&mut self, name: &str, value: Vec<Value>, constant: bool) -> Result<()> {
        match self.names.insert(name.into(), (value, constant)) {
            None if !self.memories.contains_key(name) => Ok(()),
            _ => Err(format!("{name} hides another")),
        }
    }

    fn line(&mut self, line: &Line) -> Result<()> {
        match line {
            Line::Declare { ty, name, value, constant } => {
                let value = match value {
                    Term::Wide(wide, address) if wide == ty => self.wide(ty, address)?.to_vec(),
                    value => vec![of_type(ty, self.term(value)?)?],
                };
                self.declare(name, value, *constant)
            }
            Line::Set { place: Term::Name(name), op, value } => {
                let value = self.term(value)?;
                let (old, constant) = self.names.get(name).ok_or(format!("no {name}"))?;
                let new = match op.strip_suffix('=') {
                    Some("") => value,
                    Some(op) => infix(op, old[0], value)?,
                    None => return Err(format!("{op} is no assignment")),
                };
                if *constant || std::mem::discriminant(&old[0]) != std::mem::discriminant(&new) {
                    return Err(format!("{name} cannot be set to {new:?}"));
                }
                self.names.insert(name.clone(), (vec![new], false));
                Ok(())
            }
            Line::Set { place: Term::Element(memory, index), op, value } if op == "=" => {
                let (index, value) = (self.word(index)?, self.term(value)?);
                *self.element(memory, index)? = value;
                Ok(())
            }
            Line::Set { place: Term::Wide(ty, address), op, value: Term::Call(made, values) }
                if op == "=" && made == ty =>
            {
                let values =
                    values.iter().map(|value| self.term(value)).collect::<Result<Vec<_>>>()?;
                let places = self.wide(ty, address)?;
                if values.len() != places.len() {
                    return Err(format!("{ty} of {} values", values.len()));
                }
                places.copy_from_slice(&values);
                Ok(())
            }
            Line::Set { .. } => Err(format!("{line:?} is no assignment")),
            Line::Run(function, arguments) => self.stage(function, arguments),
            Line::If(condition, then, otherwise) => match self.term(condition)? {
                Value::Bool(true) => self.block(then),
                Value::Bool(false) => self.block(otherwise),
                other => Err(format!("{other:?} is no condition")),
            },
            Line::For { name, from, below, step, body } => {
                let from = self.word(from)?;
                self.declare(name, vec![Value::U32(from)], false)?;
                while self.term(below)? == Value::Bool(true) {
                    self.block(body)?;
                    let step = self.word(step)?;
                    match self.names.get_mut(name).map(|(value, _)| &mut value[0]) {
                        Some(Value::U32(i)) => *i = i.wrapping_add(step),
                        _ => return Err("no counter".into()),
                    }
                }
                self.names.remove(name);
                Ok(())
            }
        }
    }

    /// `stage_16(to, from, inside)`, which Metal does at once.
    fn stage(&mut self, function: &str, arguments: &[Term]) -> Result<()> {
        let (ty, to, from, inside) = match (function, arguments) {
            ("stage_4", [to, from, inside @ ..]) => ("uint", to, from, inside),
            ("stage_8", [to, from, inside @ ..]) => ("uint2", to, from, inside),
            ("stage_16", [to, from, inside @ ..]) => ("uint4", to, from, inside),
            other => return Err(format!("no function for {other:?}")),
        };
        let inside = match inside {
            [] => true,
            [inside] => match self.term(inside)? {
                Value::Bool(inside) => inside,
                other => return Err(format!("{other:?} is no condition")),
            },
            more => return Err(format!("{function} with {more:?}")),
        };
        let values = inside.then(|| self.wide(ty, from).map(|from| from.to_vec())).transpose()?;
        let places = self.wide(ty, to)?;
        match values {
            Some(values) => places.copy_from_slice(&values),
            None => places.fill(Value::U32(0)),
        }
        Ok(())
    }

    fn word(&self, term: &Term) -> Result<u32> {
        match self.term(term)? {
            Value::U32(x) => Ok(x),
            other => Err(format!("{other:?} where a word should be")),
        }
    }

    fn element(&mut self, memory: &str, index: u32) -> Result<&mut Value> {
        let elements = self.memories.get_mut(memory).ok_or(format!("no memory {memory}"))?;
        elements.get_mut(index as usize).ok_or(format!("{memory}[{index}]"))
    }

    /// Neighbours in a memory.
    fn wide(&mut self, ty: &str, address: &Term) -> Result<&mut [Value]> {
        let count = match ty {
            "uint" => 1,
            "uint2" => 2,
            "uint4" => 4,
            _ => return Err(format!("{ty} is not loaded at once")),
        };
        let (memory, index) = match address {
            Term::Name(memory) => (memory, 0),
            Term::Infix(op, memory, index) if op == "+" => match &**memory {
                Term::Name(memory) => (memory, self.word(index)? as usize),
                _ => return Err(format!("{memory:?} is no memory")),
            },
            other => return Err(format!("{other:?} is no address")),
        };
        let elements = self.memories.get_mut(memory).ok_or(format!("no memory {memory}"))?;
        match elements.get_mut(index..index + count) {
            Some(elements) if index % count == 0 => Ok(elements),
            _ => Err(format!("{ty} at {memory} + {index}")),
        }
    }

    fn term(&self, term: &Term) -> Result<Value> {
        match term {
            Term::Name(name) => {
                let (name, component) = name.split_once('.').unwrap_or((name, "x"));
                let (value, _) = self.names.get(name).ok_or(format!("no {name}"))?;
                let component = "xyzw".find(component).ok_or("no such component")?;
                value.get(component).copied().ok_or(format!("no component of {name}"))
            }
            Term::Literal(text) => literal(text),
            Term::Element(memory, index) => {
                let elements = self.memories.get(memory).ok_or(format!("no memory {memory}"))?;
                let index = self.word(index)? as usize;
                elements.get(index).copied().ok_or(format!("{memory}[{index}]"))
            }
            Term::Call(function, arguments) => {
                let arguments = arguments.iter().map(|argument| self.term(argument));
                call(function, &arguments.collect::<Result<Vec<_>>>()?)
            }
            Term::Prefix(op, x) => match (op.as_str(), self.term(x)?) {
                ("-", Value::F32(x)) => Ok(Value::F32(-x)),
                ("-", Value::U32(x)) => Ok(Value::U32(x.wrapping_neg())),
                ("-", Value::I32(x)) => x.checked_neg().map(Value::I32).ok_or("overflow".into()),
                ("!", Value::Bool(x)) => Ok(Value::Bool(!x)),
                ("~", Value::U32(x)) => Ok(Value::U32(!x)),
                ("~", Value::I32(x)) => Ok(Value::I32(!x)),
                other => Err(format!("{other:?}")),
            },
            Term::Infix(op, a, b) => infix(op, self.term(a)?, self.term(b)?),
            Term::Choice(parts) => {
                let [condition, a, b] = &**parts;
                let (a, b) = (self.term(a)?, self.term(b)?);
                if std::mem::discriminant(&a) != std::mem::discriminant(&b) {
                    return Err(format!("a choice of {a:?} and {b:?}"));
                }
                match self.term(condition)? {
                    Value::Bool(true) => Ok(a),
                    Value::Bool(false) => Ok(b),
                    other => Err(format!("{other:?} is no condition")),
                }
            }
            Term::Wide(..) => Err("a vector where a value should be".into()),
        }
    }
}

fn of_type(ty: &str, value: Value) -> Result<Value> {
    match (ty, value) {
        ("uint", Value::U32(_))
        | ("int", Value::I32(_))
        | ("float", Value::F32(_))
        | ("bool", Value::Bool(_)) => Ok(value),
        _ => Err(format!("{value:?} is not {ty}")),
    }
}

fn literal(text: &str) -> Result<Value> {
    let wrong = || format!("{text:?} is no literal");
    match text {
        "true" => return Ok(Value::Bool(true)),
        "false" => return Ok(Value::Bool(false)),
        _ => {}
    }
    if let Some(digits) = text.strip_prefix("0x") {
        let digits = digits.strip_suffix('u').ok_or_else(wrong)?;
        return u32::from_str_radix(digits, 16).map(Value::U32).map_err(|_| wrong());
    }
    if let Some(digits) = text.strip_suffix('u') {
        return digits.parse().map(Value::U32).map_err(|_| wrong());
    }
    match text.strip_suffix('f') {
        // a float has a point or an exponent, or it is none
        Some(digits) if digits.contains(['.', 'e']) => {
            digits.parse().map(Value::F32).map_err(|_| wrong())
        }
        Some(_) => Err(wrong()),
        None => text.parse().map(Value::I32).map_err(|_| wrong()),
    }
}

fn call(function: &str, arguments: &[Value]) -> Result<Value> {
    Ok(match (function, arguments) {
        ("uint", &[Value::I32(x)]) => Value::U32(x as u32),
        ("uint", &[Value::Bool(x)]) => Value::U32(x.into()),
        ("int", &[Value::U32(x)]) => Value::I32(x as i32),
        ("int", &[Value::Bool(x)]) => Value::I32(x.into()),
        ("float", &[Value::U32(x)]) => Value::F32(x as f32),
        ("float", &[Value::I32(x)]) => Value::F32(x as f32),
        ("float", &[Value::Bool(x)]) => Value::F32(u8::from(x).into()),
        ("as_uint", &[Value::F32(x)]) => Value::U32(bits(x)),
        ("as_float", &[Value::U32(x)]) => Value::F32(f32::from_bits(x)),
        ("saturating_uint", &[Value::F32(x)]) => Value::U32(x as u32),
        ("saturating_int", &[Value::F32(x)]) => Value::I32(x as i32),
        ("wrapping_abs", &[Value::I32(x)]) => Value::I32(x.wrapping_abs()),
        ("popcount", &[Value::U32(x)]) => Value::U32(x.count_ones()),
        ("clz", &[Value::U32(x)]) => Value::U32(x.leading_zeros()),
        ("fabs", &[Value::F32(x)]) => Value::F32(x.abs()),
        ("fma", &[Value::F32(a), Value::F32(b), Value::F32(c)]) => Value::F32(a.mul_add(b, c)),
        ("fmax", &[Value::F32(a), Value::F32(b)]) => Value::F32(a.max(b)),
        ("min", &[Value::U32(a), Value::U32(b)]) => Value::U32(a.min(b)),
        ("max", &[Value::I32(a), Value::I32(b)]) => Value::I32(a.max(b)),
        other => return Err(format!("no function for {other:?}")),
    })
}

fn infix(op: &str, a: Value, b: Value) -> Result<Value> {
    let overflow = || format!("{a:?} {op} {b:?} has no meaning");
    Ok(match (a, b) {
        (Value::U32(a), Value::U32(b)) => Value::U32(match op {
            "+" => a.wrapping_add(b),
            "-" => a.wrapping_sub(b),
            "*" => a.wrapping_mul(b),
            "/" => a.checked_div(b).ok_or_else(overflow)?,
            "%" => a.checked_rem(b).ok_or_else(overflow)?,
            "&" => a & b,
            "|" => a | b,
            "^" => a ^ b,
            "<<" => a.checked_shl(b).ok_or_else(overflow)?,
            ">>" => a.checked_shr(b).ok_or_else(overflow)?,
            _ => return compare(op, a, b),
        }),
        (Value::I32(a), Value::I32(b)) => Value::I32(match op {
            "+" => a.checked_add(b).ok_or_else(overflow)?,
            "-" => a.checked_sub(b).ok_or_else(overflow)?,
            "*" => a.checked_mul(b).ok_or_else(overflow)?,
            "/" => a.checked_div(b).ok_or_else(overflow)?,
            "%" => a.checked_rem(b).ok_or_else(overflow)?,
            "&" => a & b,
            "|" => a | b,
            "^" => a ^ b,
            ">>" => a.checked_shr(b as u32).ok_or_else(overflow)?,
            _ => return compare(op, a, b),
        }),
        (Value::F32(a), Value::F32(b)) => Value::F32(match op {
            "+" => a + b,
            "-" => a - b,
            "*" => a * b,
            "/" => a / b,
            _ => return compare(op, a, b),
        }),
        (Value::Bool(a), Value::Bool(b)) => Value::Bool(match op {
            "&&" => a && b,
            "||" => a || b,
            "!=" => a != b,
            _ => return Err(format!("{op} of bools")),
        }),
        // the distance of a shift may be of either type
        (Value::U32(_), Value::I32(distance)) if op == "<<" || op == ">>" => {
            return infix(op, a, Value::U32(distance as u32));
        }
        _ => return Err(format!("{a:?} {op} {b:?} needs a conversion")),
    })
}

fn compare<T: PartialOrd + std::fmt::Debug>(op: &str, a: T, b: T) -> Result<Value> {
    Ok(Value::Bool(match op {
        "<" => a < b,
        "<=" => a <= b,
        "==" => a == b,
        "!=" => a != b,
        _ => return Err(format!("{op} of {a:?}")),
    }))
}
