//! Arithmetic of all lanes at once, on the bits of registers.

use crate::ir::{Binary, Type, Unary};

/// An operand: the same for all threads, or one for each.
#[derive(Clone, Copy)]
pub(super) enum Operand<'a> {
    Scalar(u32),
    Column(&'a [u32]),
}

impl Operand<'_> {
    /// What thread `thread` has.
    #[inline]
    pub fn at(&self, thread: usize) -> u32 {
        match self {
            Self::Scalar(x) => *x,
            Self::Column(column) => column[thread],
        }
    }
}

#[inline(always)]
pub(super) fn map1(out: &mut [u32], a: Operand<'_>, f: impl Fn(u32) -> u32) {
    match a {
        Operand::Scalar(a) => out.fill(f(a)),
        Operand::Column(a) => out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a)),
    }
}

#[inline(always)]
fn map2(out: &mut [u32], a: Operand<'_>, b: Operand<'_>, f: impl Fn(u32, u32) -> u32) {
    use Operand::{Column, Scalar};
    match (a, b) {
        (Scalar(a), Scalar(b)) => out.fill(f(a, b)),
        (Column(a), Scalar(b)) => out.iter_mut().zip(a).for_each(|(out, &a)| *out = f(a, b)),
        (Scalar(a), Column(b)) => out.iter_mut().zip(b).for_each(|(out, &b)| *out = f(a, b)),
        (Column(a), Column(b)) => {
            out.iter_mut().zip(a.iter().zip(b)).for_each(|(out, (&a, &b))| *out = f(a, b));
        }
    }
}

#[inline(always)]
pub(super) fn map3(
    out: &mut [u32],
    a: Operand<'_>,
    b: Operand<'_>,
    c: Operand<'_>,
    f: impl Fn(u32, u32, u32) -> u32,
) {
    use Operand::{Column, Scalar};
    match (a, b, c) {
        (Column(a), Column(b), Column(c)) => {
            let operands = a.iter().zip(b).zip(c);
            out.iter_mut().zip(operands).for_each(|(out, ((&a, &b), &c))| *out = f(a, b, c));
        }
        (Column(a), Scalar(b), Column(c)) => {
            out.iter_mut().zip(a.iter().zip(c)).for_each(|(out, (&a, &c))| *out = f(a, b, c));
        }
        _ => out.iter_mut().enumerate().for_each(|(i, out)| *out = f(a.at(i), b.at(i), c.at(i))),
    }
}

fn float(f: impl Fn(f32) -> f32) -> impl Fn(u32) -> u32 {
    move |a| f(f32::from_bits(a)).to_bits()
}

fn float2(f: impl Fn(f32, f32) -> f32) -> impl Fn(u32, u32) -> u32 {
    move |a, b| f(f32::from_bits(a), f32::from_bits(b)).to_bits()
}

fn compare<T>(of: impl Fn(u32) -> T, f: impl Fn(T, T) -> bool) -> impl Fn(u32, u32) -> u32 {
    move |a, b| u32::from(f(of(a), of(b)))
}

/// An operation on one value of type `ty`.
pub(super) fn unary(op: Unary, ty: Type, out: &mut [u32], a: Operand<'_>) {
    match (op, ty) {
        (Unary::Neg, Type::F32) => map1(out, a, |a| a ^ 0x8000_0000),
        (Unary::Neg, _) => map1(out, a, u32::wrapping_neg),
        (Unary::Not, Type::Bool) => map1(out, a, |a| a ^ 1),
        (Unary::Not, _) => map1(out, a, |a| !a),
        (Unary::Abs, Type::F32) => map1(out, a, |a| a & 0x7fff_ffff),
        (Unary::Abs, Type::I32) => map1(out, a, |a| (a as i32).wrapping_abs() as u32),
        (Unary::Abs, _) => map1(out, a, |a| a),
        (Unary::Exp, _) => map1(out, a, float(f32::exp)),
        (Unary::Exp2, _) => map1(out, a, float(f32::exp2)),
        (Unary::Log, _) => map1(out, a, float(f32::ln)),
        (Unary::Sqrt, _) => map1(out, a, float(f32::sqrt)),
        (Unary::Rsqrt, _) => map1(out, a, float(|a| 1.0 / a.sqrt())),
        (Unary::Sin, _) => map1(out, a, float(f32::sin)),
        (Unary::Cos, _) => map1(out, a, float(f32::cos)),
        (Unary::Tanh, _) => map1(out, a, float(f32::tanh)),
        (Unary::Floor, _) => map1(out, a, float(f32::floor)),
        (Unary::Round, _) => map1(out, a, float(f32::round_ties_even)),
        (Unary::Popcount, _) => map1(out, a, u32::count_ones),
        (Unary::LeadingZeros, _) => map1(out, a, u32::leading_zeros),
        (Unary::HalfBits, _) => {
            map1(out, a, |a| super::memory::widen(crate::ir::Elem::F16, a & 0xffff));
        }
    }
}

/// An operation on two values of type `ty`. Divisors are not zero, shifts below 32: [`invalid`] tells.
pub(super) fn binary(op: Binary, ty: Type, out: &mut [u32], a: Operand<'_>, b: Operand<'_>) {
    let signed = |x: u32| x as i32;
    match (op, ty) {
        (Binary::Add, Type::F32) => map2(out, a, b, float2(|a, b| a + b)),
        (Binary::Add, _) => map2(out, a, b, u32::wrapping_add),
        (Binary::Sub, Type::F32) => map2(out, a, b, float2(|a, b| a - b)),
        (Binary::Sub, _) => map2(out, a, b, u32::wrapping_sub),
        (Binary::Mul, Type::F32) => map2(out, a, b, float2(|a, b| a * b)),
        (Binary::Mul, _) => map2(out, a, b, u32::wrapping_mul),
        (Binary::Div, Type::F32) => map2(out, a, b, float2(|a, b| a / b)),
        (Binary::Div, Type::I32) => {
            map2(out, a, b, |a, b| {
                let b = if b == 0 { 1 } else { signed(b) };
                signed(a).wrapping_div(b) as u32
            });
        }
        (Binary::Div, _) => map2(out, a, b, |a, b| a / b.max(1)),
        (Binary::Rem, Type::I32) => {
            map2(out, a, b, |a, b| signed(a).checked_rem(signed(b)).unwrap_or(0) as u32);
        }
        (Binary::Rem, _) => map2(out, a, b, |a, b| a % b.max(1)),
        (Binary::And, _) => map2(out, a, b, |a, b| a & b),
        (Binary::Or, _) => map2(out, a, b, |a, b| a | b),
        (Binary::Xor, _) => map2(out, a, b, |a, b| a ^ b),
        (Binary::Shl, _) => map2(out, a, b, |a, b| a << (b & 31)),
        (Binary::Shr, Type::I32) => map2(out, a, b, |a, b| (signed(a) >> (b & 31)) as u32),
        (Binary::Shr, _) => map2(out, a, b, |a, b| a >> (b & 31)),
        (Binary::Min, Type::F32) => map2(out, a, b, float2(f32::min)),
        (Binary::Min, Type::I32) => map2(out, a, b, |a, b| signed(a).min(signed(b)) as u32),
        (Binary::Min, _) => map2(out, a, b, u32::min),
        (Binary::Max, Type::F32) => map2(out, a, b, float2(f32::max)),
        (Binary::Max, Type::I32) => map2(out, a, b, |a, b| signed(a).max(signed(b)) as u32),
        (Binary::Max, _) => map2(out, a, b, u32::max),
        (Binary::Lt, Type::F32) => map2(out, a, b, compare(f32::from_bits, |a, b| a < b)),
        (Binary::Lt, Type::I32) => map2(out, a, b, compare(signed, |a, b| a < b)),
        (Binary::Lt, _) => map2(out, a, b, compare(|x| x, |a, b| a < b)),
        (Binary::Le, Type::F32) => map2(out, a, b, compare(f32::from_bits, |a, b| a <= b)),
        (Binary::Le, Type::I32) => map2(out, a, b, compare(signed, |a, b| a <= b)),
        (Binary::Le, _) => map2(out, a, b, compare(|x| x, |a, b| a <= b)),
        (Binary::Eq, Type::F32) => map2(out, a, b, compare(f32::from_bits, |a, b| a == b)),
        (Binary::Eq, _) => map2(out, a, b, compare(|x| x, |a, b| a == b)),
        (Binary::Ne, Type::F32) => map2(out, a, b, compare(f32::from_bits, |a, b| a != b)),
        (Binary::Ne, _) => map2(out, a, b, compare(|x| x, |a, b| a != b)),
    }
}

/// Why an operation on two values has no result.
pub(super) fn invalid(op: Binary, ty: Type, b: u32) -> Option<&'static str> {
    match op {
        Binary::Div | Binary::Rem if ty != Type::F32 && b == 0 => Some("division by zero"),
        Binary::Shl | Binary::Shr if b >= 32 => Some("a shift by 32 or more"),
        _ => None,
    }
}

/// From one type to another, as Rust's `as`.
pub(super) fn convert(from: Type, to: Type, out: &mut [u32], a: Operand<'_>) {
    match (from, to) {
        (Type::F32, Type::U32) => map1(out, a, |a| f32::from_bits(a) as u32),
        (Type::F32, Type::I32) => map1(out, a, |a| f32::from_bits(a) as i32 as u32),
        (Type::I32, Type::F32) => map1(out, a, |a| (a as i32 as f32).to_bits()),
        (Type::U32 | Type::Bool, Type::F32) => map1(out, a, |a| (a as f32).to_bits()),
        (Type::F32, Type::Bool) => map1(out, a, |a| u32::from(f32::from_bits(a) != 0.0)),
        (_, Type::Bool) => map1(out, a, |a| u32::from(a != 0)),
        _ => map1(out, a, |a| a),
    }
}
