//! Expressions, as both languages write them.

use crate::ir::{Binary, Const, Type, Unary};

use super::{
    dialect::Dialect,
    text::{Binds, Text},
};

/// A constant. Floats read back to the same bits.
pub fn constant(dialect: &dyn Dialect, value: Const) -> Text {
    match value {
        Const::Bool(x) => Text::atom(x.to_string()),
        Const::U32(x) => unsigned(x),
        // the most negative number has no literal
        Const::I32(i32::MIN) => unsigned(i32::MIN as u32).int(),
        Const::I32(x) => Text::new(if x < 0 { Binds::Prefix } else { Binds::Atom }, x.to_string()),
        Const::F32(x) if x.is_normal() || x == 0.0 => {
            let binds = if x.is_sign_negative() { Binds::Prefix } else { Binds::Atom };
            Text::new(binds, format!("{x:?}f"))
        }
        Const::F32(x) => {
            let bits = Text::atom(format!("0x{:08x}u", x.to_bits()));
            dialect.bits(Type::U32, Type::F32, &bits)
        }
    }
}

fn unsigned(x: u32) -> Text {
    // a count is read in decimal, a mask is not
    Text::atom(if x < 100_000 { format!("{x}u") } else { format!("{x:#x}u") })
}

/// An operation on one value.
pub fn unary(dialect: &dyn Dialect, op: Unary, ty: Type, x: &Text) -> Text {
    match (op, ty) {
        (Unary::Neg, Type::I32) => Text::infix(&Text::atom("0u"), "-", &x.uint(), Binds::Sum).int(),
        (Unary::Neg, _) => prefix("-", x),
        (Unary::Not, Type::Bool) => prefix("!", x),
        (Unary::Not, _) => prefix("~", x),
        (Unary::Abs, Type::U32) => x.clone(),
        (Unary::Abs, Type::I32) => Text::call("wrapping_abs", &[x]),
        _ => dialect.unary(op, x),
    }
}

fn prefix(symbol: &str, x: &Text) -> Text {
    Text::new(Binds::Prefix, format!("{symbol}{}", x.operand(Binds::Atom)))
}

/// An operation on two values of type `ty`.
pub fn binary(dialect: &dyn Dialect, op: Binary, ty: Type, a: &Text, b: &Text) -> Text {
    let (symbol, binds) = match (op, ty) {
        (Binary::Min | Binary::Max, _) => return dialect.extreme(ty, op == Binary::Max, a, b),
        (Binary::And, Type::Bool) => ("&&", Binds::And),
        (Binary::Or, Type::Bool) => ("||", Binds::Or),
        (Binary::Xor, Type::Bool) => ("!=", Binds::Compare),
        (Binary::Add, _) => ("+", Binds::Sum),
        (Binary::Sub, _) => ("-", Binds::Sum),
        (Binary::Mul, _) => ("*", Binds::Product),
        (Binary::Div, _) => ("/", Binds::Product),
        (Binary::Rem, _) => ("%", Binds::Product),
        (Binary::And, _) => ("&", Binds::Bits),
        (Binary::Or, _) => ("|", Binds::Bits),
        (Binary::Xor, _) => ("^", Binds::Bits),
        (Binary::Shl, _) => ("<<", Binds::Shift),
        (Binary::Shr, _) => (">>", Binds::Shift),
        (Binary::Lt, _) => ("<", Binds::Compare),
        (Binary::Le, _) => ("<=", Binds::Compare),
        (Binary::Eq, _) => ("==", Binds::Compare),
        (Binary::Ne, _) => ("!=", Binds::Compare),
    };
    let wraps = matches!(op, Binary::Add | Binary::Sub | Binary::Mul | Binary::Shl);
    if ty == Type::I32 && wraps {
        // signed overflow has no meaning in C++; unsigned wraps
        return Text::infix(&a.uint(), symbol, &b.uint(), binds).int();
    }
    Text::infix(a, symbol, b, binds)
}

/// One of two values.
pub fn select(condition: &Text, a: &Text, b: &Text) -> Text {
    let [condition, a, b] = [condition, a, b].map(|text| text.operand(Binds::Compare));
    Text::new(Binds::Choice, format!("{condition} ? {a} : {b}"))
}

/// To another type.
pub fn convert(from: Type, to: Type, x: &Text) -> Text {
    match (from, to) {
        (from, to) if from == to => x.clone(),
        (Type::F32, Type::I32) => Text::call("saturating_int", &[x]),
        (Type::F32, Type::U32) => Text::call("saturating_uint", &[x]),
        (_, Type::F32) => Text::call("float", &[x]),
        (Type::U32, Type::I32) => x.clone().int(),
        (Type::I32, Type::U32) => x.uint(),
        (_, Type::I32) => Text::call("int", &[x]),
        (_, Type::U32) => Text::call("uint", &[x]),
        (Type::F32, Type::Bool) => Text::infix(x, "!=", &Text::atom("0.0f"), Binds::Compare),
        (Type::I32, Type::Bool) => Text::infix(x, "!=", &Text::atom("0"), Binds::Compare),
        (_, Type::Bool) => Text::infix(x, "!=", &Text::atom("0u"), Binds::Compare),
    }
}
