//! Buffers, shared arrays and matrix tiles.

use std::{marker::PhantomData, panic::Location};

use crate::{
    ir::{Access, Elem, Kind, Memory, TileInfo, TileReg, TileRole},
    kernel::Parameter,
    record,
    value::{Get, Number, Scalar, Val},
};

/// What a memory's elements are, as a Rust type.
pub trait Element: 'static {
    /// What a load widens them to.
    type Value: Number;
    /// Their type; `None` if the kernel's specialisation tells (`#[of(...)]`).
    const ELEM: Option<Elem>;
}

macro_rules! elements {
    ($($name:ident $value:ty, $elem:expr, $doc:literal;)*) => { $(
        #[doc = $doc]
        #[derive(Debug, Clone, Copy)]
        pub enum $name {}
        impl Element for $name {
            type Value = $value;
            const ELEM: Option<Elem> = $elem;
        }
    )* };
}

elements! {
    F32 f32, Some(Elem::F32), "Single precision.";
    F16 f32, Some(Elem::F16), "Half precision.";
    BF16 f32, Some(Elem::BF16), "The upper half of single precision.";
    U32 u32, Some(Elem::U32), "32 bits, unsigned.";
    I32 i32, Some(Elem::I32), "32 bits, signed.";
    U16 u32, Some(Elem::U16), "16 bits, unsigned.";
    U8 u32, Some(Elem::U8), "8 bits, unsigned.";
    I8 i32, Some(Elem::I8), "8 bits, signed.";
    AnyFloat f32, None, "A float of a type that the specialisation tells.";
    AnyWord u32, None, "An unsigned number of a width that the specialisation tells.";
}

macro_rules! memories {
    ($($name:ident $doc:literal;)*) => { $(
        #[doc = $doc]
        pub struct $name<E> {
            pub(crate) memory: Memory,
            element: PhantomData<E>,
        }
        impl<E> Clone for $name<E> {
            fn clone(&self) -> Self {
                *self
            }
        }
        impl<E> Copy for $name<E> {}
    )* };
}

memories! {
    In "A buffer that is read.";
    Out "A buffer that is written.";
    InOut "A buffer that is read and written.";
    Shared "An array of the threadgroup.";
}

macro_rules! parameters {
    ($($name:ident $access:ident),*) => { $(
        impl<E: Element> Parameter for $name<E> {
            type Of = Option<Elem>;

            fn declare(name: &'static str, of: Option<Elem>) -> Self {
                let elem = E::ELEM.or(of).expect("a buffer of AnyFloat or AnyWord needs #[of(...)]");
                assert!(elem.value() == E::Value::TYPE, "{name}: {elem:?} is not what it is read as");
                Self { memory: record::buffer(name, elem, Access::$access), element: PhantomData }
            }
        }
    )* };
}
parameters!(In Read, Out Write, InOut ReadWrite);

macro_rules! reads {
    ($($name:ident),*) => { $(
        impl<E: Element> $name<E> {
            /// The element at `index`.
            #[track_caller]
            pub fn at(self, index: impl Get<u32>) -> Val<E::Value> {
                let [x] = self.load(index);
                x
            }

            /// `N` neighbouring elements (1, 2, 4 or 8, at most 16 bytes), the first at a multiple of `N`.
            #[track_caller]
            pub fn load<const N: usize>(self, index: impl Get<u32>) -> [Val<E::Value>; N] {
                let index = index.get().reg;
                let to: [_; N] = std::array::from_fn(|_| record::reg(E::Value::TYPE));
                let kind = Kind::Load { to: to.to_vec(), memory: self.memory, index };
                record::push(Location::caller(), kind);
                to.map(Val::new)
            }
        }
    )* };
}
reads!(In, InOut, Shared);

macro_rules! writes {
    ($($name:ident),*) => { $(
        impl<E: Element> $name<E> {
            /// Sets the element at `index`.
            #[track_caller]
            pub fn set(self, index: impl Get<u32>, value: impl Get<E::Value>) {
                self.store(index, [value]);
            }

            /// Sets `N` neighbouring elements (1, 2, 4 or 8, at most 16 bytes), the first at a multiple of `N`.
            #[track_caller]
            pub fn store<const N: usize>(
                self,
                index: impl Get<u32>,
                values: [impl Get<E::Value>; N],
            ) {
                let index = index.get().reg;
                let mut from = Vec::with_capacity(N);
                for value in values {
                    from.push(value.get().reg);
                }
                let kind = Kind::Store { from, memory: self.memory, index };
                record::push(Location::caller(), kind);
            }
        }
    )* };
}
writes!(Out, InOut, Shared);

impl<E: Element> Shared<E> {
    /// Begins to copy `N` neighbours from `buffer[index]` to `self[at]`: 4, 8 or 16 bytes, both at multiples of `N`. They
    /// are not to be touched until [`wait_staged`], and by other threads until a barrier after it.
    #[track_caller]
    pub fn stage<const N: usize>(self, at: impl Get<u32>, buffer: In<E>, index: impl Get<u32>) {
        self.copy(N, at.get(), buffer, index.get(), None);
    }

    /// As [`stage`](Self::stage) where `inside` holds; elsewhere zeros are put, and `index` may be anything.
    #[track_caller]
    pub fn stage_if<const N: usize>(
        self,
        inside: impl Get<bool>,
        at: impl Get<u32>,
        buffer: In<E>,
        index: impl Get<u32>,
    ) {
        self.copy(N, at.get(), buffer, index.get(), Some(inside.get()));
    }

    #[track_caller]
    fn copy(
        self,
        count: usize,
        at: Val<u32>,
        buffer: In<E>,
        index: Val<u32>,
        inside: Option<Val<bool>>,
    ) {
        let (to, from, count) = (self.memory, buffer.memory, count as u32);
        let (at, index, inside) = (at.reg, index.reg, inside.map(|inside| inside.reg));
        record::push(Location::caller(), Kind::Stage { to, at, from, index, count, inside });
    }
}

/// Makes a group of what each thread has staged since the last one, perhaps nothing.
#[track_caller]
pub fn commit_staged() {
    record::push(Location::caller(), Kind::Commit);
}

/// Waits until at most `groups` of each thread's groups, the latest, are on their way. What a thread staged in the others
/// it sees now; other threads see it after a barrier.
#[track_caller]
pub fn wait_staged(groups: u32) {
    record::push(Location::caller(), Kind::Wait(groups));
}

/// An array of the threadgroup, undefined at the beginning.
pub fn shared<E: Element>(name: &'static str, len: u32) -> Shared<E> {
    let elem = E::ELEM.expect("shared_of tells the type");
    Shared { memory: record::shared(name, elem, len), element: PhantomData }
}

/// As [`shared`], of elements that the specialisation tells.
pub fn shared_of<E: Element>(name: &'static str, elem: Elem, len: u32) -> Shared<E> {
    assert!(elem.value() == E::Value::TYPE, "{name}: {elem:?} is not what it is read as");
    Shared { memory: record::shared(name, elem, len), element: PhantomData }
}

/// A matrix of 16 x 16 elements of F16 or F32, spread over a simdgroup in a way only the device knows. BF16 is staged as
/// F32, which keeps it exactly on every device; CUDA rounds other F32 to 11 significant bits when it multiplies.
#[derive(Debug, Clone, Copy)]
pub struct Tile {
    tile: TileReg,
}

impl Tile {
    /// A sum, of f32, all elements `value`.
    #[track_caller]
    pub fn sum(value: f32) -> Self {
        let tile = record::tile(TileInfo { role: TileRole::Sum, elem: Elem::F32 });
        record::push(Location::caller(), Kind::TileFill { tile, value });
        Self { tile }
    }

    /// The left operand whose element `(r, c)` is at `index + r * stride + c`; `index` is a multiple of 16,
    /// `stride` of 8.
    #[track_caller]
    pub fn left<E: Element<Value = f32>>(
        from: Shared<E>,
        index: impl Get<u32>,
        stride: u32,
    ) -> Self {
        Self::load(TileRole::Left, from.memory, index.get().reg, stride, false)
    }

    /// The right operand whose element `(r, c)` is at `index + r * stride + c`.
    #[track_caller]
    pub fn right<E: Element<Value = f32>>(
        from: Shared<E>,
        index: impl Get<u32>,
        stride: u32,
    ) -> Self {
        Self::load(TileRole::Right, from.memory, index.get().reg, stride, false)
    }

    /// The right operand whose element `(r, c)` is at `index + c * stride + r`.
    #[track_caller]
    pub fn right_transposed<E: Element<Value = f32>>(
        from: Shared<E>,
        index: impl Get<u32>,
        stride: u32,
    ) -> Self {
        Self::load(TileRole::Right, from.memory, index.get().reg, stride, true)
    }

    #[track_caller]
    fn load(
        role: TileRole,
        memory: Memory,
        index: crate::ir::Reg,
        stride: u32,
        transposed: bool,
    ) -> Self {
        let elem = record::elem(memory);
        let tile = record::tile(TileInfo { role, elem });
        let kind = Kind::TileLoad { tile, memory, index, stride, transposed };
        record::push(Location::caller(), kind);
        Self { tile }
    }

    /// `self += left * right`.
    #[track_caller]
    pub fn multiply_add(self, left: Self, right: Self) {
        let kind = Kind::TileMultiply { sum: self.tile, left: left.tile, right: right.tile };
        record::push(Location::caller(), kind);
    }

    /// Reads a sum back from shared memory, where it was stored and perhaps changed: element `(r, c)` from
    /// `index + r * stride + c`.
    #[track_caller]
    pub fn restore(self, from: Shared<F32>, index: impl Get<u32>, stride: u32) {
        let index = index.get().reg;
        let (tile, memory) = (self.tile, from.memory);
        let kind = Kind::TileLoad { tile, memory, index, stride, transposed: false };
        record::push(Location::caller(), kind);
    }

    /// Writes a sum to shared memory, element `(r, c)` to `index + r * stride + c`.
    #[track_caller]
    pub fn store(self, to: Shared<F32>, index: impl Get<u32>, stride: u32) {
        let index = index.get().reg;
        let kind = Kind::TileStore { tile: self.tile, memory: to.memory, index, stride };
        record::push(Location::caller(), kind);
    }
}
