//! Values of a kernel and their arithmetic.

use std::{marker::PhantomData, ops, panic::Location};

use crate::{
    ir::{Binary, Const, Expr, Kind, Reg, Type, Unary},
    record::{self, At},
};

/// A Rust type that a register can have.
pub trait Scalar: Copy + 'static {
    /// That type.
    const TYPE: Type;
    /// A value known when the kernel is recorded.
    fn constant(self) -> Const;
}

macro_rules! scalars {
    ($($ty:ty => $variant:ident),*) => { $(
        impl Scalar for $ty {
            const TYPE: Type = Type::$variant;
            fn constant(self) -> Const {
                Const::$variant(self)
            }
        }
    )* };
}
scalars!(f32 => F32, u32 => U32, i32 => I32, bool => Bool);

/// A scalar with arithmetic.
pub trait Number: Scalar {}
impl Number for f32 {}
impl Number for u32 {}
impl Number for i32 {}

/// A whole number.
pub trait Integer: Number {}
impl Integer for u32 {}
impl Integer for i32 {}

/// A scalar with bitwise operations.
pub trait BitScalar: Scalar {}
impl BitScalar for u32 {}
impl BitScalar for i32 {}
impl BitScalar for bool {}

/// A value that each thread has.
pub struct Val<T> {
    pub(crate) reg: Reg,
    scalar: PhantomData<T>,
}

/// A variable that each thread has; `let mut` makes one.
pub struct Var<T> {
    pub(crate) reg: Reg,
    scalar: PhantomData<T>,
}

macro_rules! handles {
    ($($handle:ident),*) => { $(
        impl<T> Clone for $handle<T> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<T> Copy for $handle<T> {}
        impl<T> $handle<T> {
            pub(crate) fn new(reg: Reg) -> Self {
                Self { reg, scalar: PhantomData }
            }
        }
    )* };
}
handles!(Val, Var);

impl<T: Scalar> Val<T> {
    /// A field of the argument struct, which it declares.
    #[doc(hidden)]
    #[track_caller]
    pub fn field(name: &'static str) -> Self {
        Self::new(record::field(name, T::TYPE))
    }
}

/// What can stand for a value of type `T`: a value, a variable, a Rust constant.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a kernel's value of type `{T}`")]
pub trait Get<T>: Copy {
    /// The value, now.
    #[track_caller]
    fn get(self) -> Val<T>;
}

impl<T: Scalar> Get<T> for Val<T> {
    fn get(self) -> Self {
        self
    }
}

impl<T: Scalar> Get<T> for Var<T> {
    #[track_caller]
    fn get(self) -> Val<T> {
        emit(Location::caller(), Expr::Read(self.reg))
    }
}

impl<T: Scalar> Get<T> for T {
    #[track_caller]
    fn get(self) -> Val<T> {
        Val::new(record::constant(Location::caller(), self.constant()))
    }
}

/// A value made by an expression.
pub(crate) fn emit<T: Scalar>(at: At, expr: Expr) -> Val<T> {
    Val::new(record::value(at, T::TYPE, expr))
}

/// An operation on one value.
#[track_caller]
pub(crate) fn unary<T: Scalar, R: Scalar>(op: Unary, x: impl Get<T>) -> Val<R> {
    let x = x.get();
    emit(Location::caller(), Expr::Unary(op, x.reg))
}

/// An operation on two values.
#[track_caller]
pub(crate) fn binary<T: Scalar, R: Scalar>(op: Binary, a: impl Get<T>, b: impl Get<T>) -> Val<R> {
    let (a, b) = (a.get(), b.get());
    Val::new(record::binary(Location::caller(), R::TYPE, op, a.reg, b.reg))
}

macro_rules! operators {
    ($($trait:ident $method:ident $bound:ident: $($ty:ty)*;)*) => { $(
        impl<T: $bound, R: Get<T>> ops::$trait<R> for Val<T> {
            type Output = Val<T>;
            #[track_caller]
            fn $method(self, other: R) -> Val<T> {
                binary(Binary::$trait, self, other)
            }
        }
        impl<T: $bound, R: Get<T>> ops::$trait<R> for Var<T> {
            type Output = Val<T>;
            #[track_caller]
            fn $method(self, other: R) -> Val<T> {
                binary(Binary::$trait, self, other)
            }
        }
        $(
            impl ops::$trait<Val<$ty>> for $ty {
                type Output = Val<$ty>;
                #[track_caller]
                fn $method(self, other: Val<$ty>) -> Val<$ty> {
                    binary(Binary::$trait, self, other)
                }
            }
            impl ops::$trait<Var<$ty>> for $ty {
                type Output = Val<$ty>;
                #[track_caller]
                fn $method(self, other: Var<$ty>) -> Val<$ty> {
                    binary(Binary::$trait, self, other)
                }
            }
        )*
    )* };
}

operators! {
    Add add Number: f32 u32 i32;
    Sub sub Number: f32 u32 i32;
    Mul mul Number: f32 u32 i32;
    Div div Number: f32 u32 i32;
    Rem rem Integer: u32 i32;
    Shl shl Integer: u32 i32;
    Shr shr Integer: u32 i32;
}

macro_rules! bit_operators {
    ($($trait:ident $method:ident $op:ident;)*) => { $(
        impl<T: BitScalar, R: Get<T>> ops::$trait<R> for Val<T> {
            type Output = Val<T>;
            #[track_caller]
            fn $method(self, other: R) -> Val<T> {
                binary(Binary::$op, self, other)
            }
        }
        impl<T: BitScalar, R: Get<T>> ops::$trait<R> for Var<T> {
            type Output = Val<T>;
            #[track_caller]
            fn $method(self, other: R) -> Val<T> {
                binary(Binary::$op, self, other)
            }
        }
    )* };
}

bit_operators! {
    BitAnd bitand And;
    BitOr bitor Or;
    BitXor bitxor Xor;
}

impl<T: Number> ops::Neg for Val<T> {
    type Output = Self;
    #[track_caller]
    fn neg(self) -> Self {
        unary(Unary::Neg, self)
    }
}

impl<T: Number> ops::Neg for Var<T> {
    type Output = Val<T>;
    #[track_caller]
    fn neg(self) -> Val<T> {
        unary(Unary::Neg, self)
    }
}

impl<T: BitScalar> ops::Not for Val<T> {
    type Output = Self;
    #[track_caller]
    fn not(self) -> Self {
        unary(Unary::Not, self)
    }
}

macro_rules! conversions {
    ($($handle:ident),*) => { $(
        impl<T: Scalar> $handle<T> {
            /// As a float, as `as f32` would.
            #[track_caller]
            pub fn f32(self) -> Val<f32> {
                convert(self)
            }

            /// As an unsigned number, as `as u32` would.
            #[track_caller]
            pub fn u32(self) -> Val<u32> {
                convert(self)
            }

            /// As a signed number, as `as i32` would.
            #[track_caller]
            pub fn i32(self) -> Val<i32> {
                convert(self)
            }
        }

        impl<T: Number> $handle<T> {
            /// Its 32 bits.
            #[track_caller]
            pub fn bits(self) -> Val<u32> {
                let x = self.get();
                emit(Location::caller(), Expr::Bits(Type::U32, x.reg))
            }
        }

        impl $handle<u32> {
            /// The float with these bits.
            #[track_caller]
            pub fn as_float(self) -> Val<f32> {
                let x = self.get();
                emit(Location::caller(), Expr::Bits(Type::F32, x.reg))
            }

            /// The signed number with these bits.
            #[track_caller]
            pub fn as_signed(self) -> Val<i32> {
                let x = self.get();
                emit(Location::caller(), Expr::Bits(Type::I32, x.reg))
            }
        }
    )* };
}
conversions!(Val, Var);

/// A value of another type.
#[track_caller]
fn convert<T: Scalar, R: Scalar>(x: impl Get<T>) -> Val<R> {
    let x = x.get();
    if T::TYPE == R::TYPE {
        return Val::new(x.reg);
    }
    emit(Location::caller(), Expr::Convert(R::TYPE, x.reg))
}

/// Sets a variable.
#[track_caller]
pub(crate) fn assign<T: Scalar>(to: Var<T>, value: impl Get<T>) {
    let value = value.get();
    record::push(Location::caller(), Kind::Assign(to.reg, value.reg));
}
