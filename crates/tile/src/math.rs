//! Functions of values, and what a thread knows of itself.

use std::panic::Location;

use crate::{
    ir::{AtomicOp, Binary, Builtin, Collective, Expr, Kind, Scope, Unary},
    memory::{Element, InOut, Shared},
    record,
    value::{Get, Integer, Number, Scalar, Val, binary, emit, unary},
};

macro_rules! of_one {
    ($($name:ident $op:ident $doc:literal;)*) => { $(
        #[doc = $doc]
        #[track_caller]
        pub fn $name(x: impl Get<f32>) -> Val<f32> {
            unary(Unary::$op, x)
        }
    )* };
}

of_one! {
    exp Exp "e to the `x`.";
    exp2 Exp2 "2 to the `x`.";
    log Log "The natural logarithm.";
    sqrt Sqrt "The square root.";
    rsqrt Rsqrt "`1 / sqrt(x)`.";
    sin Sin "The sine, of radians.";
    cos Cos "The cosine, of radians.";
    tanh Tanh "The hyperbolic tangent.";
    floor Floor "The greatest whole number not above `x`.";
    round Round "The nearest whole number, ties to even.";
}

/// Without its sign.
#[track_caller]
pub fn abs<T: Number>(x: impl Get<T>) -> Val<T> {
    unary(Unary::Abs, x)
}

/// The smaller one. If one is not a number, the other.
#[track_caller]
pub fn min<T: Number>(a: impl Get<T>, b: impl Get<T>) -> Val<T> {
    binary(Binary::Min, a, b)
}

/// The larger one. If one is not a number, the other.
#[track_caller]
pub fn max<T: Number>(a: impl Get<T>, b: impl Get<T>) -> Val<T> {
    binary(Binary::Max, a, b)
}

/// Number of bits that are set.
#[track_caller]
pub fn popcount(x: impl Get<u32>) -> Val<u32> {
    unary(Unary::Popcount, x)
}

/// Zeros above the highest bit that is set; 32 for 0.
#[track_caller]
pub fn leading_zeros(x: impl Get<u32>) -> Val<u32> {
    unary(Unary::LeadingZeros, x)
}

/// The half-precision number whose bits are the lower 16 of `bits`.
#[track_caller]
pub fn half_bits(bits: impl Get<u32>) -> Val<f32> {
    unary(Unary::HalfBits, bits)
}

/// `a * b + c`, rounded once.
#[track_caller]
pub fn fma(a: impl Get<f32>, b: impl Get<f32>, c: impl Get<f32>) -> Val<f32> {
    let (a, b, c) = (a.get(), b.get(), c.get());
    emit(Location::caller(), Expr::Fma(a.reg, b.reg, c.reg))
}

/// `a` where `condition` holds, else `b`; both have been computed.
#[track_caller]
pub fn select<T: Scalar>(condition: impl Get<bool>, a: impl Get<T>, b: impl Get<T>) -> Val<T> {
    let (condition, a, b) = (condition.get(), a.get(), b.get());
    emit(Location::caller(), Expr::Select(condition.reg, a.reg, b.reg))
}

/// A constant.
#[track_caller]
pub fn val<T: Scalar>(x: T) -> Val<T> {
    x.get()
}

/// Rounded up to the next whole quotient.
#[track_caller]
pub fn div_ceil(a: impl Get<u32>, b: impl Get<u32>) -> Val<u32> {
    let b = b.get();
    (a.get() + (b - 1)) / b
}

#[track_caller]
fn builtin(which: Builtin) -> Val<u32> {
    emit(Location::caller(), Expr::Builtin(which))
}

/// Where the threadgroup is in the grid: 0, 1 or 2 for x, y or z.
#[track_caller]
pub fn group(axis: u8) -> Val<u32> {
    assert!(axis < 3, "a grid has three axes");
    builtin(Builtin::Group(axis))
}

/// Where the thread is in its threadgroup.
#[track_caller]
pub fn thread() -> Val<u32> {
    builtin(Builtin::Thread)
}

/// Where the thread is in its simdgroup.
#[track_caller]
pub fn lane() -> Val<u32> {
    builtin(Builtin::Lane)
}

/// Where the simdgroup is in the threadgroup.
#[track_caller]
pub fn simdgroup() -> Val<u32> {
    builtin(Builtin::Simdgroup)
}

/// Threads of a threadgroup, known while recording.
pub fn threads() -> u32 {
    record::threads()
}

/// Simdgroups of a threadgroup, known while recording.
pub fn simdgroups() -> u32 {
    record::threads() / crate::ir::LANES
}

/// Waits for the threads of the threadgroup, and makes what they wrote to shared memory seen.
#[track_caller]
pub fn barrier() {
    record::push(Location::caller(), Kind::Barrier(Scope::Shared));
}

/// As [`barrier`], with what they wrote to buffers too.
#[track_caller]
pub fn barrier_all() {
    record::push(Location::caller(), Kind::Barrier(Scope::All));
}

/// Waits for the lanes of the simdgroup, and makes what they wrote to shared memory seen.
#[track_caller]
pub fn simd_barrier() {
    record::push(Location::caller(), Kind::Barrier(Scope::Simdgroup));
}

#[track_caller]
fn collective<T: Scalar, R: Scalar>(
    op: Collective,
    value: impl Get<T>,
    lane: Option<Val<u32>>,
) -> Val<R> {
    let value = value.get();
    let to = record::reg(R::TYPE);
    let (value, lane) = (value.reg, lane.map(|lane| lane.reg));
    record::push(Location::caller(), Kind::Collective { op, to, value, lane });
    Val::new(to)
}

/// The sum over a simdgroup.
#[track_caller]
pub fn simd_sum<T: Number>(x: impl Get<T>) -> Val<T> {
    collective(Collective::Sum, x, None)
}

/// The largest of a simdgroup.
#[track_caller]
pub fn simd_max<T: Number>(x: impl Get<T>) -> Val<T> {
    collective(Collective::Max, x, None)
}

/// The smallest of a simdgroup.
#[track_caller]
pub fn simd_min<T: Number>(x: impl Get<T>) -> Val<T> {
    collective(Collective::Min, x, None)
}

/// The sum over the lanes before this one.
#[track_caller]
pub fn simd_prefix_sum<T: Number>(x: impl Get<T>) -> Val<T> {
    collective(Collective::PrefixSum, x, None)
}

/// What `lane` has.
#[track_caller]
pub fn shuffle<T: Number>(x: impl Get<T>, lane: impl Get<u32>) -> Val<T> {
    let lane = lane.get();
    collective(Collective::Shuffle, x, Some(lane))
}

/// What the lane has whose number differs in the bits of `mask`.
#[track_caller]
pub fn shuffle_xor<T: Number>(x: impl Get<T>, mask: u32) -> Val<T> {
    assert!(mask < crate::ir::LANES, "a simdgroup has 32 lanes");
    collective(Collective::ShuffleXor(mask), x, None)
}

/// Bit by bit, whether the lane's `x` is true.
#[track_caller]
pub fn ballot(x: impl Get<bool>) -> Val<u32> {
    collective(Collective::Ballot, x, None)
}

/// A memory whose elements can be changed at once.
pub trait Atomic<T> {
    #[doc(hidden)]
    fn memory(&self) -> crate::ir::Memory;
}

impl<T: Integer, E: Element<Value = T>> Atomic<T> for Shared<E> {
    fn memory(&self) -> crate::ir::Memory {
        self.memory
    }
}

impl<T: Integer, E: Element<Value = T>> Atomic<T> for InOut<E> {
    fn memory(&self) -> crate::ir::Memory {
        self.memory
    }
}

macro_rules! atomics {
    ($($name:ident $op:ident $doc:literal;)*) => { $(
        #[doc = $doc]
        #[track_caller]
        pub fn $name(
            memory: impl Atomic<u32>,
            index: impl Get<u32>,
            value: impl Get<u32>,
        ) -> Val<u32> {
            let (index, value) = (index.get().reg, value.get().reg);
            let old = record::reg(crate::ir::Type::U32);
            let (op, memory) = (AtomicOp::$op, memory.memory());
            let kind = Kind::Atomic { op, old, memory, index, value };
            record::push(Location::caller(), kind);
            Val::new(old)
        }
    )* };
}

atomics! {
    atomic_add Add "Adds to an element, whoever else does; gives what was there.";
    atomic_max Max "Raises an element to at least `value`; gives what was there.";
    atomic_min Min "Lowers an element to at most `value`; gives what was there.";
    atomic_or Or "Sets bits of an element; gives what was there.";
}
