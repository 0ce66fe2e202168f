//! What has no effect: constants, what a thread knows of itself, operations on registers.

use super::{Reg, Type};

/// A constant.
#[derive(Debug, Clone, Copy, PartialEq)]
#[allow(missing_docs)]
pub enum Const {
    Bool(bool),
    I32(i32),
    U32(u32),
    F32(f32),
}

impl Const {
    /// Its type.
    pub fn ty(self) -> Type {
        match self {
            Self::Bool(_) => Type::Bool,
            Self::I32(_) => Type::I32,
            Self::U32(_) => Type::U32,
            Self::F32(_) => Type::F32,
        }
    }
}

/// What the device tells a thread about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// The threadgroup's place in the grid: 0, 1 or 2 for x, y or z.
    Group(u8),
    /// The thread's place in its threadgroup.
    Thread,
    /// The thread's place in its simdgroup.
    Lane,
    /// The simdgroup's place in its threadgroup.
    Simdgroup,
}

/// Operations on one value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Unary {
    Neg,
    /// Logical of a bool, bitwise of an integer.
    Not,
    Abs,
    Exp,
    Exp2,
    Log,
    Sqrt,
    /// `1 / sqrt(x)`.
    Rsqrt,
    Sin,
    Cos,
    Tanh,
    Floor,
    /// To the nearest whole number, ties to even.
    Round,
    /// Number of bits that are set.
    Popcount,
    /// Zeros above the highest bit that is set; 32 for 0.
    LeadingZeros,
    /// The half-precision number whose bits are the lower 16.
    HalfBits,
}

/// Operations on two values of one type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Binary {
    Add,
    Sub,
    Mul,
    /// Of integers: towards zero. Division by zero, and of `i32::MIN` by -1, is an error in the simulator.
    Div,
    /// Of integers only, with the sign of the first; where [`Binary::Div`] is an error, so is this.
    Rem,
    And,
    Or,
    Xor,
    /// By less than 32, or it is an error in the simulator.
    Shl,
    /// Arithmetic for signed values, by less than 32.
    Shr,
    /// Of floats: if one is not a number, the other.
    Min,
    Max,
    Lt,
    Le,
    Eq,
    Ne,
}

impl Binary {
    /// Whether the result is a bool whatever the operands are.
    pub fn compares(self) -> bool {
        matches!(self, Self::Lt | Self::Le | Self::Eq | Self::Ne)
    }
}

/// Something without effect, made of registers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Expr {
    /// A constant.
    Const(Const),
    /// A field of the argument struct.
    Arg(u32),
    /// What the device tells a thread.
    Builtin(Builtin),
    /// What a variable holds now.
    Read(Reg),
    /// An operation on one value.
    Unary(Unary, Reg),
    /// An operation on two values.
    Binary(Binary, Reg, Reg),
    /// `a * b + c` with one rounding.
    Fma(Reg, Reg, Reg),
    /// `if c { a } else { b }`; both are there already.
    Select(Reg, Reg, Reg),
    /// To another type, as `as` does: floats saturate, bools are 0 or 1.
    Convert(Type, Reg),
    /// The same 32 bits as another type.
    Bits(Type, Reg),
}

impl Expr {
    /// The registers it is made of.
    pub fn operands(&self) -> [Option<Reg>; 3] {
        match *self {
            Self::Const(_) | Self::Arg(_) | Self::Builtin(_) => [None; 3],
            Self::Read(a) | Self::Unary(_, a) | Self::Convert(_, a) | Self::Bits(_, a) => {
                [Some(a), None, None]
            }
            Self::Binary(_, a, b) => [Some(a), Some(b), None],
            Self::Fma(a, b, c) | Self::Select(a, b, c) => [Some(a), Some(b), Some(c)],
        }
    }
}
