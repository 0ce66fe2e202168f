//! Plain Rust: arrays that the compiler vectorises as it can. Also the reading copy of [`Isa`].

use std::array::from_fn;

use half::{bf16, f16};

use super::{Isa, LANES};

/// `2^120`: from e4m3's exponent bias to f32's.
pub(super) const TWO_120: f32 = f32::from_bits((120 + 127) << 23);

/// The target's baseline.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

type F = [f32; LANES];
type I = [i32; LANES];
/// Four bytes a lane.
type B = [u32; LANES];

/// Reads an array from anywhere.
///
/// # Safety
/// `p` is good for `N` elements.
#[inline(always)]
unsafe fn read<T: Copy, const N: usize>(p: *const T) -> [T; N] {
    // SAFETY: the caller vouches for the memory; the read is unaligned.
    unsafe { p.cast::<[T; N]>().read_unaligned() }
}

/// Folds lanes by halves, as vector registers do.
#[inline(always)]
fn fold<T: Copy>(mut x: [T; LANES], f: impl Fn(T, T) -> T) -> T {
    let mut n = LANES / 2;
    while n > 0 {
        for i in 0..n {
            x[i] = f(x[i], x[i + n]);
        }
        n /= 2;
    }
    x[0]
}

macro_rules! ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? $body:block)*) => {
        $(#[inline(always)]
        unsafe fn $name($($arg: $ty),*) $(-> $ret)? $body)*
    };
}

impl Isa for Portable {
    type F = F;
    type I = I;
    type B = B;
    const SIZES: usize = 0;
    const WIDE: bool = false;

    ops! {
        fn splat(x: f32) -> F { [x; LANES] }
        fn load(p: *const f32) -> F {
            // SAFETY: the trait's condition.
            unsafe { read(p) }
        }
        fn store(p: *mut f32, x: F) {
            // SAFETY: the trait's condition.
            unsafe { p.cast::<F>().write_unaligned(x) }
        }
        fn add(a: F, b: F) -> F { from_fn(|i| a[i] + b[i]) }
        fn sub(a: F, b: F) -> F { from_fn(|i| a[i] - b[i]) }
        fn mul(a: F, b: F) -> F { from_fn(|i| a[i] * b[i]) }
        fn div(a: F, b: F) -> F { from_fn(|i| a[i] / b[i]) }
        // not mul_add: without an instruction for it that is a library call
        fn fma(a: F, b: F, c: F) -> F { from_fn(|i| a[i] * b[i] + c[i]) }
        fn max(a: F, b: F) -> F { from_fn(|i| if a[i] > b[i] { a[i] } else { b[i] }) }
        fn min(a: F, b: F) -> F { from_fn(|i| if a[i] < b[i] { a[i] } else { b[i] }) }
        fn abs(x: F) -> F { x.map(f32::abs) }
        fn select_gt(a: F, b: F, yes: F, no: F) -> F {
            from_fn(|i| if a[i] > b[i] { yes[i] } else { no[i] })
        }
        fn keep(x: F, lo: usize, hi: usize, other: f32) -> F {
            from_fn(|i| if (lo..hi).contains(&i) { x[i] } else { other })
        }
        fn sum(x: F) -> f32 { fold(x, |a, b| a + b) }
        fn largest(x: F) -> f32 { fold(x, f32::max) }

        fn load_f16(p: *const u16) -> F {
            // SAFETY: the trait's condition.
            unsafe { read::<u16, LANES>(p) }.map(|x| f16::from_bits(x).to_f32())
        }
        fn load_bf16(p: *const u16) -> F {
            // SAFETY: the trait's condition.
            unsafe { read::<u16, LANES>(p) }.map(|x| bf16::from_bits(x).to_f32())
        }
        fn load_i8(p: *const i8) -> F {
            // SAFETY: the trait's condition.
            unsafe { read::<i8, LANES>(p) }.map(f32::from)
        }
        fn load_u8(p: *const u8) -> F {
            // SAFETY: the trait's condition.
            unsafe { read::<u8, LANES>(p) }.map(f32::from)
        }
        fn load_e8m0(p: *const u8) -> F {
            // SAFETY: the trait's condition.
            let e = unsafe { read::<u8, LANES>(p) };
            // 2^-127 is subnormal: exponent field 0, mantissa one half
            e.map(|e| f32::from_bits((u32::from(e) << 23).max(1 << 22)))
        }

        fn splat_i(x: i32) -> I { [x; LANES] }
        fn add_i(a: I, b: I) -> I { from_fn(|i| a[i] + b[i]) }
        fn to_float(x: I) -> F { x.map(|x| x as f32) }
        fn round(x: F) -> I { x.map(|x| x.round_ties_even() as i32) }
        fn exp2_int(x: I) -> F { x.map(|x| f32::from_bits(((x + 127) as u32) << 23)) }
        fn store_i8(p: *mut i8, x: I) {
            // SAFETY: the trait's condition.
            unsafe { p.cast::<[i8; LANES]>().write_unaligned(x.map(|x| x as i8)) }
        }
        fn sum_i(x: I) -> i32 { x.iter().sum() }

        fn load_bytes(p: *const u8) -> B {
            // SAFETY: the trait's condition.
            unsafe { read::<u32, LANES>(p.cast()) }.map(u32::from_le)
        }
        fn splat_byte(x: u8) -> B { [u32::from(x) * 0x0101_0101; LANES] }
        fn and(a: B, b: B) -> B { from_fn(|i| a[i] & b[i]) }
        fn or(a: B, b: B) -> B { from_fn(|i| a[i] | b[i]) }
        fn lookup(table: B, index: B) -> B {
            index.map(|four| {
                let byte = |i: u8| table[usize::from(i & 15) / 4].to_le_bytes()[usize::from(i & 3)];
                u32::from_le_bytes(four.to_le_bytes().map(byte))
            })
        }
    }

    #[inline(always)]
    unsafe fn shr<const N: i32>(a: B) -> B {
        a.map(|x| x >> N)
    }

    #[inline(always)]
    unsafe fn shl<const N: i32>(a: B) -> B {
        a.map(|x| x << N)
    }

    #[inline(always)]
    unsafe fn dot<const WIDE: bool>(acc: I, a: B, x: i32) -> I {
        let x = x.to_le_bytes().map(|x| i32::from(x as i8));
        from_fn(|i| {
            let a = a[i].to_le_bytes().map(i32::from);
            acc[i] + (a[0] * x[0] + a[1] * x[1]) + (a[2] * x[2] + a[3] * x[3])
        })
    }

    #[inline(always)]
    unsafe fn dot_pair(acc: F, a: B, x: u32) -> F {
        let pair = |x: u32| (f32::from_bits(x << 16), f32::from_bits(x & 0xffff_0000));
        let (x0, x1) = pair(x);
        from_fn(|i| {
            let (a0, a1) = pair(a[i]);
            acc[i] + a0 * x0 + a1 * x1
        })
    }

    #[inline(always)]
    unsafe fn store_f16(p: *mut u16, x: F) {
        // SAFETY: the trait's condition.
        unsafe { p.cast::<[u16; LANES]>().write_unaligned(x.map(|x| f16::from_f32(x).to_bits())) }
    }

    #[inline(always)]
    unsafe fn store_bf16(p: *mut u16, x: F) {
        // SAFETY: the trait's condition.
        unsafe { p.cast::<[u16; LANES]>().write_unaligned(x.map(|x| bf16::from_f32(x).to_bits())) }
    }

    #[inline(always)]
    unsafe fn byte<const K: i32>(a: B) -> F {
        a.map(|x| (x >> (8 * K) & 0xff) as f32)
    }

    #[inline(always)]
    unsafe fn byte_e4m3<const K: i32>(a: B) -> F {
        a.map(|x| {
            let x = x >> (8 * K) & 0xff;
            // read with f32's exponent bias (127 for 7) the value is 2^-120 of what is meant
            f32::from_bits((x & 0x80) << 24 | (x & 0x7f) << 20) * TWO_120
        })
    }
}
