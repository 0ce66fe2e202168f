//! What the attribute writes in place of `if`, `for`, `let mut`, assignments and comparisons.
//!
//! Each form is a trait with two kinds of implementations: for values of the kernel it records, for Rust's own it does
//! what Rust does. So rustc decides, by types, what happens on the device and what while recording.

use std::{ops::Range, panic::Location};

use crate::{
    ir::{Binary, Kind, Reg},
    record::{self, At},
    value::{Get, Number, Scalar, Val, Var, assign, binary},
};

/// A condition of `if`.
#[diagnostic::on_unimplemented(
    message = "a condition is a `bool` or a kernel's `Val<bool>`, not `{Self}`"
)]
pub trait Condition {
    /// Begins the `if`.
    #[track_caller]
    fn begin(self) -> Branch;
}

/// An `if` that has begun.
pub enum Branch {
    /// Decided while recording.
    Known(bool),
    /// Decided by each thread.
    Recorded {
        #[doc(hidden)]
        at: At,
        #[doc(hidden)]
        condition: Reg,
        #[doc(hidden)]
        then: Option<Vec<crate::ir::Stmt>>,
    },
}

impl Condition for bool {
    fn begin(self) -> Branch {
        Branch::Known(self)
    }
}

macro_rules! conditions {
    ($($handle:ident),*) => { $(
        impl Condition for $handle<bool> {
            #[track_caller]
            fn begin(self) -> Branch {
                let condition = self.get().reg;
                Branch::Recorded { at: Location::caller(), condition, then: None }
            }
        }
    )* };
}
conditions!(Val, Var);

impl Branch {
    /// Whether to run the first block now.
    pub fn then(&mut self) -> bool {
        match self {
            Self::Known(holds) => *holds,
            Self::Recorded { .. } => {
                record::open();
                true
            }
        }
    }

    /// Whether to run the second block now.
    pub fn otherwise(&mut self) -> bool {
        match self {
            Self::Known(holds) => !*holds,
            Self::Recorded { then, .. } => {
                *then = Some(record::close());
                record::open();
                true
            }
        }
    }

    /// Ends the `if`; both blocks have been offered.
    pub fn end(self) {
        if let Self::Recorded { at, condition, then } = self {
            let otherwise = record::close();
            let then = then.unwrap_or_default();
            record::push(at, Kind::If { condition, then, otherwise });
        }
    }
}

/// The step of a loop that names none.
#[derive(Debug, Clone, Copy)]
pub struct One;

impl Get<u32> for One {
    #[track_caller]
    fn get(self) -> Val<u32> {
        1u32.get()
    }
}

/// The bounds of `for`, `self..end` by `step`.
#[diagnostic::on_unimplemented(
    message = "`for` runs over kernel's values of type u32, or over plain u32 or usize; not from `{Self}` to `{End}`"
)]
pub trait Bounds<End, Step> {
    /// What the loop's counter is.
    type Iter: Iterator;
    /// The loop.
    #[track_caller]
    fn each(self, end: End, step: Step) -> Self::Iter;
}

/// A loop of the device. It comes round once, to record its block.
pub struct Loop {
    at: At,
    counter: Reg,
    from: Reg,
    to: Reg,
    step: Reg,
    begun: bool,
}

impl Iterator for Loop {
    type Item = Val<u32>;

    fn next(&mut self) -> Option<Val<u32>> {
        if !self.begun {
            self.begun = true;
            record::open();
            return Some(Val::new(self.counter));
        }
        let &mut Self { at, counter, from, to, step, .. } = self;
        let body = record::close();
        record::push(at, Kind::For { counter, from, to, step, body });
        None
    }
}

macro_rules! recorded_bounds {
    ($($from:ty, $to:ty;)*) => { $(
        impl<S: Get<u32>> Bounds<$to, S> for $from {
            type Iter = Loop;
            #[track_caller]
            fn each(self, end: $to, step: S) -> Loop {
                let (from, to, step) = (self.get().reg, end.get().reg, step.get().reg);
                let counter = record::reg(u32::TYPE);
                Loop { at: Location::caller(), counter, from, to, step, begun: false }
            }
        }
    )* };
}
recorded_bounds! {
    Val<u32>, Val<u32>;
    Val<u32>, Var<u32>;
    Val<u32>, u32;
    Var<u32>, Val<u32>;
    Var<u32>, Var<u32>;
    Var<u32>, u32;
    u32, Val<u32>;
    u32, Var<u32>;
}

macro_rules! unrolled_bounds {
    ($($ty:ty),*) => { $(
        impl Bounds<$ty, One> for $ty {
            type Iter = Range<$ty>;
            fn each(self, end: $ty, _: One) -> Range<$ty> {
                self..end
            }
        }
        impl Bounds<$ty, usize> for $ty {
            type Iter = std::iter::StepBy<Range<$ty>>;
            fn each(self, end: $ty, step: usize) -> Self::Iter {
                (self..end).step_by(step)
            }
        }
    )* };
}
unrolled_bounds!(u32, usize);

/// What `let mut` may hold.
#[diagnostic::on_unimplemented(
    message = "`let mut` in a kernel holds a value or an array of values, not `{Self}`"
)]
pub trait Mutable {
    /// What it becomes.
    type Variable;
    /// Makes the variable.
    #[track_caller]
    fn variable(self, name: &'static str) -> Self::Variable;
}

#[track_caller]
fn variable<T: Scalar>(value: impl Get<T>, name: &'static str) -> Var<T> {
    let value = value.get();
    let reg = record::variable(T::TYPE, name);
    record::push(Location::caller(), Kind::Assign(reg, value.reg));
    Var::new(reg)
}

impl<T: Scalar> Mutable for Val<T> {
    type Variable = Var<T>;
    #[track_caller]
    fn variable(self, name: &'static str) -> Var<T> {
        variable(self, name)
    }
}

impl<T: Scalar> Mutable for Var<T> {
    type Variable = Self;
    #[track_caller]
    fn variable(self, name: &'static str) -> Self {
        variable(self, name)
    }
}

impl<T: Scalar> Mutable for T {
    type Variable = Var<T>;
    #[track_caller]
    fn variable(self, name: &'static str) -> Var<T> {
        variable(self, name)
    }
}

impl<M: Mutable, const N: usize> Mutable for [M; N] {
    type Variable = [M::Variable; N];
    #[track_caller]
    fn variable(self, name: &'static str) -> Self::Variable {
        let mut made = Vec::with_capacity(N);
        for value in self {
            made.push(value.variable(name));
        }
        made.try_into().ok().expect("as many as there were")
    }
}

impl<M: Mutable> Mutable for Vec<M> {
    type Variable = Vec<M::Variable>;
    #[track_caller]
    fn variable(self, name: &'static str) -> Self::Variable {
        let mut made = Vec::with_capacity(self.len());
        for value in self {
            made.push(value.variable(name));
        }
        made
    }
}

/// What may stand on the left of `=`.
#[diagnostic::on_unimplemented(
    message = "only what was declared with `let mut` can be assigned, a value of its type; not `{R}` to `{Self}`"
)]
pub trait Assign<R> {
    /// `self = value`.
    #[track_caller]
    fn assign(&self, value: R);
}

impl<T: Scalar, R: Get<T>> Assign<R> for Var<T> {
    #[track_caller]
    fn assign(&self, value: R) {
        assign(*self, value);
    }
}

/// What may be compared.
#[diagnostic::on_unimplemented(
    message = "a kernel compares values of one type, or Rust's u32, i32, usize, f32 and bool; not `{Self}` with `{R}`"
)]
#[allow(missing_docs)]
pub trait Compare<R> {
    /// `bool` or `Val<bool>`.
    type Output;
    #[track_caller]
    fn lt(self, other: R) -> Self::Output;
    #[track_caller]
    fn le(self, other: R) -> Self::Output;
    #[track_caller]
    fn gt(self, other: R) -> Self::Output;
    #[track_caller]
    fn ge(self, other: R) -> Self::Output;
    #[track_caller]
    fn eq(self, other: R) -> Self::Output;
    #[track_caller]
    fn ne(self, other: R) -> Self::Output;
}

macro_rules! recorded_compare {
    ($(($($generic:tt)*) $left:ty, $right:ty;)*) => { $(
        impl<$($generic)*> Compare<$right> for $left {
            type Output = Val<bool>;
            #[track_caller]
            fn lt(self, other: $right) -> Val<bool> {
                binary(Binary::Lt, self, other)
            }
            #[track_caller]
            fn le(self, other: $right) -> Val<bool> {
                binary(Binary::Le, self, other)
            }
            #[track_caller]
            fn gt(self, other: $right) -> Val<bool> {
                binary(Binary::Lt, other, self)
            }
            #[track_caller]
            fn ge(self, other: $right) -> Val<bool> {
                binary(Binary::Le, other, self)
            }
            #[track_caller]
            fn eq(self, other: $right) -> Val<bool> {
                binary(Binary::Eq, self, other)
            }
            #[track_caller]
            fn ne(self, other: $right) -> Val<bool> {
                binary(Binary::Ne, self, other)
            }
        }
    )* };
}
recorded_compare! {
    (T: Number, R: Get<T>) Val<T>, R;
    (T: Number, R: Get<T>) Var<T>, R;
    () u32, Val<u32>;
    () u32, Var<u32>;
    () i32, Val<i32>;
    () f32, Val<f32>;
    () f32, Var<f32>;
}

macro_rules! plain_compare {
    ($($ty:ty),*) => { $(
        impl Compare<$ty> for $ty {
            type Output = bool;
            fn lt(self, other: $ty) -> bool {
                self < other
            }
            fn le(self, other: $ty) -> bool {
                self <= other
            }
            fn gt(self, other: $ty) -> bool {
                self > other
            }
            fn ge(self, other: $ty) -> bool {
                self >= other
            }
            fn eq(self, other: $ty) -> bool {
                self == other
            }
            fn ne(self, other: $ty) -> bool {
                self != other
            }
        }
    )* };
}
plain_compare!(u32, i32, usize, f32, bool);

/// Gives a value the name that `let` gives it, and leaves all else alone.
pub struct Named<'a, T>(pub &'a T);

/// [`Named`] of a value.
pub trait NamedValue {
    /// Notes the name.
    fn name(&self, name: &'static str);
}

/// [`Named`] of anything.
pub trait NamedOther {
    /// Does nothing.
    fn name(&self, _name: &'static str) {}
}

impl<T> NamedValue for Named<'_, Val<T>> {
    fn name(&self, name: &'static str) {
        record::name(self.0.reg, name);
    }
}

impl<T> NamedOther for &Named<'_, T> {}
