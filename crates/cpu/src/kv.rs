//! Storage of keys and values, by page.
//!
//! Within a page, each layer has for each of its heads a block of keys `[PAGE / 16][dim][16]`, so that a
//! vector holds 16 positions and scores need no horizontal sums, and a block of values `[PAGE][dim]`. `dim` is
//! `head_dim` rounded up to 16. (Bfloat16 goes by pairs: see [`Element`].)

use tessera_graph::{KvType, PAGE};

use crate::{
    isa::{Isa, Kernel, LANES},
    kernels::math::load_some,
};

/// Where a layer's keys and values are in its group's pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layer {
    /// Index of the page group.
    pub group: usize,
    /// Byte offset in a page.
    pub offset: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// `head_dim` rounded up to a whole vector.
    pub dim: usize,
    pub window: Option<usize>,
}

impl Layer {
    /// Bytes of one head's keys, or values, in a page.
    pub fn block_bytes(&self, kv: KvType) -> usize {
        PAGE * self.dim * kv.bytes()
    }

    /// Address of head `head`'s keys in the page at `page`; its values follow them.
    pub fn keys(&self, page: *mut u8, head: usize, kv: KvType) -> *mut u8 {
        page.wrapping_add(self.offset + 2 * head * self.block_bytes(kv))
    }
}

/// How keys and values are stored, and multiplied with.
///
/// `STEP` neighbours lie side by side in a lane: columns of a key, positions of a value. So
/// a key block is `[PAGE / 16][dim / STEP][16 positions][STEP]`, a value block `[PAGE / STEP][dim][STEP]`.
pub(crate) trait Element {
    /// Neighbours in a lane.
    const STEP: usize;
    /// Bytes of an element.
    const BYTES: usize;
    /// A vector as it is read.
    type Vector<S: Isa>: Copy;
    /// `STEP` numbers that a lane is multiplied with.
    type Factor: Copy + Default;

    /// The vector that starts at element offset `index`.
    ///
    /// # Safety
    /// It is there; the machine has `S`.
    unsafe fn load<S: Isa>(p: *const u8, index: usize) -> Self::Vector<S>;

    /// `acc + a * x`, the `STEP` products of each lane summed.
    ///
    /// # Safety
    /// The machine has `S`.
    unsafe fn fma<S: Isa>(a: Self::Vector<S>, x: Self::Factor, acc: S::F) -> S::F;

    /// Stores 16 numbers as factors, from number `index` (a multiple of 16).
    ///
    /// # Safety
    /// There is room for them; the machine has `S`.
    unsafe fn factors<S: Isa>(to: *mut Self::Factor, index: usize, x: S::F);

    /// An element in memory.
    type Stored: Copy + Default;

    /// Stores 16 elements.
    ///
    /// # Safety
    /// The machine has `S`.
    unsafe fn store<S: Isa>(to: &mut [Self::Stored; LANES], x: S::F);
}

macro_rules! single {
    ($name:ident, $ty:ty, $load:ident, $store:ident) => {
        /// One element a lane, multiplied in f32.
        pub(crate) struct $name;

        impl Element for $name {
            const STEP: usize = 1;
            const BYTES: usize = size_of::<$ty>();
            type Vector<S: Isa> = S::F;
            type Factor = f32;

            #[inline(always)]
            unsafe fn load<S: Isa>(p: *const u8, index: usize) -> S::F {
                // SAFETY: the caller vouches for the memory and the machine.
                unsafe { S::$load(p.cast::<$ty>().add(index)) }
            }

            #[inline(always)]
            unsafe fn fma<S: Isa>(a: S::F, x: f32, acc: S::F) -> S::F {
                // SAFETY: the caller vouches for the machine.
                unsafe { S::fma(a, S::splat(x), acc) }
            }

            #[inline(always)]
            unsafe fn factors<S: Isa>(to: *mut f32, index: usize, x: S::F) {
                // SAFETY: the caller vouches for the memory and the machine.
                unsafe { S::store(to.add(index), x) }
            }

            type Stored = $ty;

            #[inline(always)]
            unsafe fn store<S: Isa>(to: &mut [$ty; LANES], x: S::F) {
                // SAFETY: the caller vouches for the machine.
                unsafe { S::$store(to.as_mut_ptr(), x) }
            }
        }
    };
}

single!(HalfElement, u16, load_f16, store_f16);
single!(FloatElement, f32, load, store);

/// Pairs of bfloat16, multiplied with pairs of bfloat16 and summed in f32.
pub(crate) struct BrainElement;

impl Element for BrainElement {
    const STEP: usize = 2;
    const BYTES: usize = 2;
    type Vector<S: Isa> = S::B;
    type Factor = u32;

    #[inline(always)]
    unsafe fn load<S: Isa>(p: *const u8, index: usize) -> S::B {
        // SAFETY: the caller vouches for the memory and the machine.
        unsafe { S::load_bytes(p.add(index * 2)) }
    }

    #[inline(always)]
    unsafe fn fma<S: Isa>(a: S::B, x: u32, acc: S::F) -> S::F {
        // SAFETY: the caller vouches for the machine.
        unsafe { S::dot_pair(acc, a, x) }
    }

    #[inline(always)]
    unsafe fn factors<S: Isa>(to: *mut u32, index: usize, x: S::F) {
        // SAFETY: the caller vouches for the memory and the machine.
        unsafe { S::store_bf16(to.cast::<u16>().add(index), x) }
    }

    type Stored = u16;

    #[inline(always)]
    unsafe fn store<S: Isa>(to: &mut [u16; LANES], x: S::F) {
        // SAFETY: the caller vouches for the machine.
        unsafe { S::store_bf16(to.as_mut_ptr(), x) }
    }
}

/// One token's keys and values.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    /// `[kv_heads * head_dim]`.
    pub k: *const f32,
    /// `[kv_heads * head_dim]`.
    pub v: *const f32,
    /// Whether the position after it is not written in this step.
    pub last: bool,
}

/// Writes a token at `slot` of the page at `page`.
pub(crate) struct Write<'a> {
    pub layer: &'a Layer,
    pub kv: KvType,
    pub page: *mut u8,
    pub slot: usize,
    pub token: Token,
}

impl Kernel for Write<'_> {
    type Output = ();

    const PAIRS: bool = true;

    /// The page belongs to the layer's group, `slot < PAGE`, and nobody else touches the slot (nor the
    /// next, if the token is the last).
    #[inline(always)]
    unsafe fn run<S: Isa>(self) {
        // SAFETY: passed on.
        unsafe {
            match self.kv {
                KvType::F16 => self.keep::<S, HalfElement>(),
                KvType::BF16 => self.keep::<S, BrainElement>(),
                KvType::F32 => self.keep::<S, FloatElement>(),
            }
        }
    }
}

impl Write<'_> {
    #[inline(always)]
    unsafe fn keep<S: Isa, E: Element>(self) {
        let Self { layer, kv, page, slot, token } = self;
        let (step, dim, len) = (E::STEP, layer.dim, layer.head_dim);
        let (block, lane) = (slot / LANES, slot % LANES);
        for head in 0..layer.kv_heads {
            let keys = layer.keys(page, head, kv);
            let values = keys.wrapping_add(layer.block_bytes(kv));
            let (k, v) = (token.k.wrapping_add(head * len), token.v.wrapping_add(head * len));
            for first in (0..len).step_by(LANES) {
                let n = LANES.min(len - first);
                // SAFETY: columns below `dim` and `slot < PAGE` are inside the head's blocks; the inputs
                // hold all heads.
                unsafe {
                    let mut stored = [E::Stored::default(); LANES];
                    E::store::<S>(&mut stored, load_some::<S>(k.add(first), n));
                    for (d, x) in (first..).zip(stored) {
                        let at = (block * dim + d / step * step) * LANES + lane * step + d % step;
                        keys.cast::<E::Stored>().add(at).write(x);
                    }
                    E::store::<S>(&mut stored, load_some::<S>(v.add(first), n));
                    for (d, x) in (first..).zip(stored) {
                        let at = (slot / step * dim + d) * step + slot % step;
                        let to = values.cast::<E::Stored>().add(at);
                        to.write(x);
                        // values are read with their neighbours, weighted zero: nothing old may be there
                        // that is not finite
                        if token.last && slot % step + 1 < step {
                            to.add(1).write(E::Stored::default());
                        }
                    }
                }
            }
        }
    }
}
