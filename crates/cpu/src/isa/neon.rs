//! NEON: four registers are one vector. Integer dot products by whichever extension the machine has:
//! SDOT (FEAT_DotProd), USDOT (FEAT_I8MM), or widening multiplies on the first AArch64 processors.

use std::arch::{aarch64::*, asm};

use super::{Isa, Kernel, portable::TWO_120};

/// Advanced SIMD alone.
pub(super) const PLAIN: u8 = 0;
/// With dot products of signed bytes.
pub(super) const DOT: u8 = 1;
/// And of unsigned with signed bytes.
pub(super) const I8MM: u8 = 2;
/// And of bfloat16.
pub(super) const BF16: u8 = 3;

/// NEON with the extensions up to `EXT`: [`PLAIN`], [`DOT`], [`I8MM`] or [`BF16`].
#[derive(Clone, Copy)]
pub(super) struct Neon<const EXT: u8>;

/// Defines functions that run a kernel compiled for a set of features.
macro_rules! enter {
    ($($name:ident $features:literal $ext:ident;)*) => {
        $(/// Runs a kernel compiled for these features.
        ///
        /// # Safety
        /// The machine has them; the kernel's own conditions hold.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $name<K: Kernel>(kernel: K) -> K::Output {
            // SAFETY: the features are enabled here; the rest is the caller's.
            unsafe { kernel.run::<Neon<$ext>>() }
        })*
    };
}

enter! {
    enter "neon" PLAIN;
    enter_dot "neon,dotprod" DOT;
    enter_i8mm "neon,dotprod,i8mm" I8MM;
    enter_bf16 "neon,dotprod,i8mm,bf16" BF16;
}

// Rust's own intrinsics for these four instructions are not stable. As there, the feature is named at the
// function, so that it is inlined where the machine has it and still compiles where nothing is inlined.

/// Adds to each lane of `acc` its four signed bytes of `a` times the four of `x`.
///
/// # Safety
/// The machine has the extension.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn sdot(mut acc: int32x4_t, a: int8x16_t, x: f32) -> int32x4_t {
    // SAFETY: registers in, register out.
    unsafe {
        asm!("sdot {acc:v}.4s, {a:v}.16b, {x:v}.4b[0]", acc = inout(vreg) acc, a = in(vreg) a,
            x = in(vreg) x, options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// Adds to each lane of `acc` its four unsigned bytes of `a` times the four signed of `x`.
///
/// # Safety
/// The machine has the extension.
#[inline]
#[target_feature(enable = "neon,i8mm")]
unsafe fn usdot(mut acc: int32x4_t, a: uint8x16_t, x: f32) -> int32x4_t {
    // SAFETY: registers in, register out.
    unsafe {
        asm!("usdot {acc:v}.4s, {a:v}.16b, {x:v}.4b[0]", acc = inout(vreg) acc, a = in(vreg) a,
            x = in(vreg) x, options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// Adds to each lane of `acc` its two bfloat16 of `a` times the two of `x`.
///
/// # Safety
/// The machine has the extension.
#[inline]
#[target_feature(enable = "neon,bf16")]
unsafe fn bfdot(mut acc: float32x4_t, a: uint8x16_t, x: f32) -> float32x4_t {
    // SAFETY: registers in, register out.
    unsafe {
        asm!("bfdot {acc:v}.4s, {a:v}.8h, {x:v}.2h[0]", acc = inout(vreg) acc, a = in(vreg) a,
            x = in(vreg) x, options(pure, nomem, nostack, preserves_flags));
    }
    acc
}

/// Four values rounded to bfloat16.
///
/// # Safety
/// The machine has the extension.
#[inline]
#[target_feature(enable = "neon,bf16")]
unsafe fn bfcvtn(x: float32x4_t) -> uint16x4_t {
    let rounded: uint16x4_t;
    // SAFETY: register in, register out.
    unsafe {
        asm!("bfcvtn {y:v}.4h, {x:v}.4s", y = out(vreg) rounded, x = in(vreg) x,
            options(pure, nomem, nostack, preserves_flags));
    }
    rounded
}

/// Adds to each lane of `acc` its four signed bytes of `a` times the four of `x`, none of which is -128, by
/// widening multiplies.
///
/// # Safety
/// The machine has NEON.
#[inline(always)]
unsafe fn widening(acc: int32x4_t, a: int8x16_t, x: int8x16_t) -> int32x4_t {
    // SAFETY: the caller's machine has NEON.
    unsafe {
        let low = vmull_s8(vget_low_s8(a), vget_low_s8(x));
        // two products of at most 128 * 127 fit 16 bits
        vpadalq_s16(acc, vpaddq_s16(low, vmull_high_s8(a, x)))
    }
}

/// Applies `$f` to each register of the arguments.
macro_rules! each {
    ($f:expr, $($arg:expr),*) => {{
        let f = $f;
        [f($($arg[0]),*), f($($arg[1]),*), f($($arg[2]),*), f($($arg[3]),*)]
    }};
}

/// Defines functions of whole vectors from intrinsics on registers.
macro_rules! four {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $quarter:expr;)*) => {
        $(#[inline(always)]
        unsafe fn $name($($arg: $ty),*) -> $ret {
            // SAFETY: the trait's condition: the machine has the instruction set.
            unsafe { each!($quarter, $($arg),*) }
        })*
    };
}

/// Defines functions that only wrap intrinsics.
macro_rules! ops {
    ($(fn $name:ident $(<const $g:ident: $gt:ty>)? ($($arg:ident: $ty:ty),*) $(-> $ret:ty)? $body:block)*) => {
        $(#[inline(always)]
        unsafe fn $name $(<const $g: $gt>)? ($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: the trait's condition: the machine has the instruction set and pointers are good.
            unsafe { $body }
        })*
    };
}

/// Shifts bytes by `$n`, one of the immediates that there are; none for 0.
macro_rules! shift {
    ($shift:ident, $n:ident, $a:ident) => {
        match $n {
            1 => each!(|a| $shift::<1>(a), $a),
            2 => each!(|a| $shift::<2>(a), $a),
            3 => each!(|a| $shift::<3>(a), $a),
            4 => each!(|a| $shift::<4>(a), $a),
            5 => each!(|a| $shift::<5>(a), $a),
            6 => each!(|a| $shift::<6>(a), $a),
            7 => each!(|a| $shift::<7>(a), $a),
            _ => $a,
        }
    };
}

type F = [float32x4_t; 4];
type I = [int32x4_t; 4];
type B = [uint8x16_t; 4];

/// Sixteen bytes as 32-bit lanes.
///
/// # Safety
/// `p` is good for them.
#[inline(always)]
unsafe fn widen_u8(p: *const u8) -> [uint32x4_t; 4] {
    // SAFETY: the caller vouches for the memory.
    unsafe {
        let x = vld1q_u8(p);
        let (low, high) = (vmovl_u8(vget_low_u8(x)), vmovl_high_u8(x));
        [
            vmovl_u16(vget_low_u16(low)),
            vmovl_high_u16(low),
            vmovl_u16(vget_low_u16(high)),
            vmovl_high_u16(high),
        ]
    }
}

impl<const EXT: u8> Isa for Neon<EXT> {
    type F = F;
    type I = I;
    type B = B;
    const SIZES: usize = 4 | 2;
    const WIDE: bool = false;

    four! {
        fn add(a: F, b: F) -> F = |a, b| vaddq_f32(a, b);
        fn sub(a: F, b: F) -> F = |a, b| vsubq_f32(a, b);
        fn mul(a: F, b: F) -> F = |a, b| vmulq_f32(a, b);
        fn div(a: F, b: F) -> F = |a, b| vdivq_f32(a, b);
        fn fma(a: F, b: F, c: F) -> F = |a, b, c| vfmaq_f32(c, a, b);
        // a number wins over a NaN, as in the other instruction sets
        fn max(a: F, b: F) -> F = |a, b| vmaxnmq_f32(a, b);
        fn min(a: F, b: F) -> F = |a, b| vminnmq_f32(a, b);
        fn abs(x: F) -> F = |x| vabsq_f32(x);
        fn select_gt(a: F, b: F, yes: F, no: F) -> F = |a, b, yes, no| vbslq_f32(vcgtq_f32(a, b), yes, no);
        fn add_i(a: I, b: I) -> I = |a, b| vaddq_s32(a, b);
        fn to_float(x: I) -> F = |x| vcvtq_f32_s32(x);
        fn round(x: F) -> I = |x| vcvtnq_s32_f32(x);
        fn exp2_int(x: I) -> F = |x| {
            vreinterpretq_f32_s32(vshlq_n_s32::<23>(vaddq_s32(x, vdupq_n_s32(127))))
        };
        fn and(a: B, b: B) -> B = |a, b| vandq_u8(a, b);
        fn or(a: B, b: B) -> B = |a, b| vorrq_u8(a, b);
        fn lookup(table: B, index: B) -> B = |table, index| vqtbl1q_u8(table, index);
    }

    ops! {
        fn splat(x: f32) -> F { [vdupq_n_f32(x); 4] }
        fn load(p: *const f32) -> F { each!(|i| vld1q_f32(p.add(i)), [0, 4, 8, 12]) }
        fn store(p: *mut f32, x: F) { each!(|i, x| vst1q_f32(p.add(i), x), [0, 4, 8, 12], x); }
        fn keep(x: F, lo: usize, hi: usize, other: f32) -> F {
            let (lo, hi, other) = (vdupq_n_u32(lo as u32), vdupq_n_u32(hi as u32), vdupq_n_f32(other));
            let lanes = vld1q_u32([0, 1, 2, 3].as_ptr());
            each!(|i, x| {
                let lanes = vaddq_u32(lanes, vdupq_n_u32(i));
                vbslq_f32(vandq_u32(vcgeq_u32(lanes, lo), vcltq_u32(lanes, hi)), x, other)
            }, [0, 4, 8, 12], x)
        }
        fn sum(x: F) -> f32 {
            let x = vaddq_f32(vaddq_f32(x[0], x[2]), vaddq_f32(x[1], x[3]));
            vpadds_f32(vadd_f32(vget_low_f32(x), vget_high_f32(x)))
        }
        fn largest(x: F) -> f32 {
            vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(x[0], x[1]), vmaxnmq_f32(x[2], x[3])))
        }

        fn load_f16(p: *const u16) -> F {
            each!(|i| vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p.add(i)))), [0, 4, 8, 12])
        }
        fn load_bf16(p: *const u16) -> F {
            each!(|i| vreinterpretq_f32_u32(vshll_n_u16::<16>(vld1_u16(p.add(i)))), [0, 4, 8, 12])
        }
        fn load_i8(p: *const i8) -> F {
            let x = vld1q_s8(p);
            let (low, high) = (vmovl_s8(vget_low_s8(x)), vmovl_high_s8(x));
            let wide = [
                vmovl_s16(vget_low_s16(low)),
                vmovl_high_s16(low),
                vmovl_s16(vget_low_s16(high)),
                vmovl_high_s16(high),
            ];
            Self::to_float(wide)
        }
        fn load_u8(p: *const u8) -> F {
            let wide = widen_u8(p);
            each!(|x| vcvtq_f32_u32(x), wide)
        }
        fn load_e8m0(p: *const u8) -> F {
            let wide = widen_u8(p);
            // 2^-127 is subnormal: exponent field 0, mantissa one half
            each!(|e| {
                vreinterpretq_f32_u32(vmaxq_u32(vshlq_n_u32::<23>(e), vdupq_n_u32(1 << 22)))
            }, wide)
        }

        fn splat_i(x: i32) -> I { [vdupq_n_s32(x); 4] }
        fn store_i8(p: *mut i8, x: I) {
            let low = vqmovn_high_s32(vqmovn_s32(x[0]), x[1]);
            let high = vqmovn_high_s32(vqmovn_s32(x[2]), x[3]);
            vst1q_s8(p, vqmovn_high_s16(vqmovn_s16(low), high))
        }
        fn sum_i(x: I) -> i32 {
            vaddvq_s32(vaddq_s32(vaddq_s32(x[0], x[1]), vaddq_s32(x[2], x[3])))
        }

        fn load_bytes(p: *const u8) -> B { each!(|i| vld1q_u8(p.add(i)), [0, 16, 32, 48]) }
        fn splat_byte(x: u8) -> B { [vdupq_n_u8(x); 4] }
        fn shr<const N: i32>(a: B) -> B { shift!(vshrq_n_u8, N, a) }
        fn shl<const N: i32>(a: B) -> B { shift!(vshlq_n_u8, N, a) }
        fn dot<const WIDE: bool>(acc: I, a: B, x: i32) -> I {
            let scalar = f32::from_bits(x as u32);
            if EXT >= I8MM {
                return each!(|acc, a| usdot(acc, a, scalar), acc, a);
            }
            let bytes = vreinterpretq_s8_s32(vdupq_n_s32(x));
            // 128 less, a byte is signed; that is -128 times the sum of `x` too little
            let over = vdupq_n_u8(128);
            let a = each!(|a| vreinterpretq_s8_u8(if WIDE { veorq_u8(a, over) } else { a }), a);
            let (zero, over) = (vdupq_n_s32(0), vreinterpretq_s8_u8(over));
            let (acc, less) = if EXT >= DOT {
                (each!(|acc, a| sdot(acc, a, scalar), acc, a), sdot(zero, over, scalar))
            } else {
                (each!(|acc, a| widening(acc, a, bytes), acc, a), widening(zero, over, bytes))
            };
            if WIDE { each!(|acc| vsubq_s32(acc, less), acc) } else { acc }
        }

        fn dot_pair(acc: F, a: B, x: u32) -> F {
            if EXT >= BF16 {
                let x = f32::from_bits(x);
                return each!(|acc, a| bfdot(acc, a, x), acc, a);
            }
            let (x0, x1) = (f32::from_bits(x << 16), f32::from_bits(x & 0xffff_0000));
            let high = vdupq_n_u32(0xffff_0000);
            each!(|acc, a| {
                let a = vreinterpretq_u32_u8(a);
                let a0 = vreinterpretq_f32_u32(vshlq_n_u32::<16>(a));
                let a1 = vreinterpretq_f32_u32(vandq_u32(a, high));
                vfmaq_n_f32(vfmaq_n_f32(acc, a0, x0), a1, x1)
            }, acc, a)
        }
        fn store_f16(p: *mut u16, x: F) {
            each!(|i, x| vst1_u16(p.add(i), vreinterpret_u16_f16(vcvt_f16_f32(x))), [0, 4, 8, 12], x);
        }
        fn store_bf16(p: *mut u16, x: F) {
            each!(|i, x| {
                if EXT >= BF16 {
                    return vst1_u16(p.add(i), bfcvtn(x));
                }
                let bits = vreinterpretq_u32_f32(x);
                let odd = vandq_u32(vshrq_n_u32::<16>(bits), vdupq_n_u32(1));
                let rounded = vaddq_u32(bits, vaddq_u32(odd, vdupq_n_u32(0x7fff)));
                // a NaN must stay one
                let rounded = vbslq_u32(vceqq_f32(x, x), rounded, vdupq_n_u32(0x7fc0_0000));
                vst1_u16(p.add(i), vshrn_n_u32::<16>(rounded))
            }, [0, 4, 8, 12], x);
        }

        fn byte<const K: i32>(a: B) -> F {
            // the byte where it is, and a conversion that divides by the power of two
            let mask = vdupq_n_u32(0xff << (8 * K));
            let lane = each!(|a| vandq_u32(vreinterpretq_u32_u8(a), mask), a);
            match K {
                0 => each!(|x| vcvtq_f32_u32(x), lane),
                1 => each!(|x| vcvtq_n_f32_u32::<8>(x), lane),
                2 => each!(|x| vcvtq_n_f32_u32::<16>(x), lane),
                _ => each!(|x| vcvtq_n_f32_u32::<24>(x), lane),
            }
        }
        fn byte_e4m3<const K: i32>(a: B) -> F {
            let up = vdupq_n_s32(24 - 8 * K);
            each!(|a| {
                // the sign is copied down three bits; then exponent and mantissa stand where f32's do
                let lane = vshrq_n_s32::<4>(vshlq_s32(vreinterpretq_s32_u8(a), up));
                let small = vandq_u32(vreinterpretq_u32_s32(lane), vdupq_n_u32(0x87f0_0000));
                // read with f32's exponent bias (127 for 7) the value is 2^-120 of what is meant
                vmulq_n_f32(vreinterpretq_f32_u32(small), TWO_120)
            }, a)
        }
    }
}
