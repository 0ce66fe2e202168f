//! AVX2: two registers are one vector. Integer dot products by AVX-VNNI where there is one.

use std::arch::x86_64::*;

use super::{Isa, Kernel};

/// AVX2, FMA and F16C; with `VNNI`, AVX-VNNI too.
#[derive(Clone, Copy)]
pub(super) struct Avx2<const VNNI: bool>;

/// Runs a kernel compiled for AVX2.
///
/// # Safety
/// The machine has it; the kernel's own conditions hold.
#[target_feature(enable = "avx2,fma,f16c")]
pub(super) unsafe fn enter<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the features are enabled here; the rest is the caller's.
    unsafe { kernel.run::<Avx2<false>>() }
}

/// Runs a kernel compiled for AVX2 with AVX-VNNI.
///
/// # Safety
/// The machine has it; the kernel's own conditions hold.
#[target_feature(enable = "avx2,fma,f16c,avxvnni")]
pub(super) unsafe fn enter_vnni<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the features are enabled here; the rest is the caller's.
    unsafe { kernel.run::<Avx2<true>>() }
}

/// Sum of eight lanes: halves are added until one is left.
///
/// # Safety
/// The machine has AVX.
#[inline(always)]
pub(super) unsafe fn sum8(x: __m256) -> f32 {
    // SAFETY: the caller vouches for AVX.
    unsafe {
        let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_add_ss(x, _mm_shuffle_ps::<1>(x, x)))
    }
}

/// Defines functions of whole vectors from intrinsics on halves.
macro_rules! both {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) -> $ret:ty = $half:expr;)*) => {
        $(#[inline(always)]
        unsafe fn $name($($arg: $ty),*) -> $ret {
            // SAFETY: the trait's condition: the machine has the instruction set.
            unsafe { [$half($($arg[0]),*), $half($($arg[1]),*)] }
        })*
    };
}

/// Defines functions that only wrap intrinsics.
macro_rules! ops {
    ($(fn $name:ident($($arg:ident: $ty:ty),*) $(-> $ret:ty)? $body:block)*) => {
        $(#[inline(always)]
        unsafe fn $name($($arg: $ty),*) $(-> $ret)? {
            // SAFETY: the trait's condition: the machine has the instruction set and pointers are good.
            unsafe { $body }
        })*
    };
}

type F = [__m256; 2];
type I = [__m256i; 2];

impl<const VNNI: bool> Isa for Avx2<VNNI> {
    type F = F;
    type I = I;
    type B = I;
    const SIZES: usize = 4 | 2;
    const WIDE: bool = false;

    both! {
        fn add(a: F, b: F) -> F = _mm256_add_ps;
        fn sub(a: F, b: F) -> F = _mm256_sub_ps;
        fn mul(a: F, b: F) -> F = _mm256_mul_ps;
        fn div(a: F, b: F) -> F = _mm256_div_ps;
        fn fma(a: F, b: F, c: F) -> F = _mm256_fmadd_ps;
        fn max(a: F, b: F) -> F = _mm256_max_ps;
        fn min(a: F, b: F) -> F = _mm256_min_ps;
        fn to_float(x: I) -> F = _mm256_cvtepi32_ps;
        fn round(x: F) -> I = _mm256_cvtps_epi32;
        fn add_i(a: I, b: I) -> I = _mm256_add_epi32;
        fn and(a: I, b: I) -> I = _mm256_and_si256;
        fn or(a: I, b: I) -> I = _mm256_or_si256;
        fn lookup(table: I, index: I) -> I = _mm256_shuffle_epi8;
    }

    ops! {
        fn splat(x: f32) -> F { [_mm256_set1_ps(x); 2] }
        fn load(p: *const f32) -> F { [_mm256_loadu_ps(p), _mm256_loadu_ps(p.add(8))] }
        fn store(p: *mut f32, x: F) {
            _mm256_storeu_ps(p, x[0]);
            _mm256_storeu_ps(p.add(8), x[1]);
        }
        fn reciprocal(x: F) -> F {
            // 11 bits, then two steps of Newton's method: one leaves the last bits wrong
            let two = _mm256_set1_ps(2.0);
            let half = |x| {
                let y = _mm256_rcp_ps(x);
                let y = _mm256_mul_ps(y, _mm256_fnmadd_ps(x, y, two));
                _mm256_mul_ps(y, _mm256_fnmadd_ps(x, y, two))
            };
            [half(x[0]), half(x[1])]
        }
        fn abs(x: F) -> F {
            let mask = _mm256_castsi256_ps(_mm256_set1_epi32(0x7fff_ffff));
            [_mm256_and_ps(x[0], mask), _mm256_and_ps(x[1], mask)]
        }
        fn select_gt(a: F, b: F, yes: F, no: F) -> F {
            let half = |i: usize| {
                _mm256_blendv_ps(no[i], yes[i], _mm256_cmp_ps::<_CMP_GT_OQ>(a[i], b[i]))
            };
            [half(0), half(1)]
        }
        fn keep(x: F, lo: usize, hi: usize, other: f32) -> F {
            let (lo, hi) = (_mm256_set1_epi32(lo as i32), _mm256_set1_epi32(hi as i32));
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            let half = |x, lanes| {
                let inside = _mm256_andnot_si256(_mm256_cmpgt_epi32(lo, lanes), _mm256_cmpgt_epi32(hi, lanes));
                _mm256_blendv_ps(_mm256_set1_ps(other), x, _mm256_castsi256_ps(inside))
            };
            [half(x[0], lanes), half(x[1], _mm256_add_epi32(lanes, _mm256_set1_epi32(8)))]
        }
        fn sum(x: F) -> f32 { sum8(_mm256_add_ps(x[0], x[1])) }
        fn largest(x: F) -> f32 {
            let x = _mm256_max_ps(x[0], x[1]);
            let x = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
            let x = _mm_max_ps(x, _mm_movehl_ps(x, x));
            _mm_cvtss_f32(_mm_max_ss(x, _mm_shuffle_ps::<1>(x, x)))
        }

        fn load_f16(p: *const u16) -> F {
            [_mm256_cvtph_ps(_mm_loadu_si128(p.cast())), _mm256_cvtph_ps(_mm_loadu_si128(p.add(8).cast()))]
        }
        fn load_bf16(p: *const u16) -> F {
            let half = |p: *const u16| {
                let wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(p.cast()));
                _mm256_castsi256_ps(_mm256_slli_epi32::<16>(wide))
            };
            [half(p), half(p.add(8))]
        }
        fn load_i8(p: *const i8) -> F {
            let half = |p: *const i8| _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(p.cast())));
            [half(p), half(p.add(8))]
        }
        fn load_u8(p: *const u8) -> F {
            let half = |p: *const u8| _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast())));
            [half(p), half(p.add(8))]
        }
        fn load_e8m0(p: *const u8) -> F {
            let half = |p: *const u8| {
                let e = _mm256_cvtepu8_epi32(_mm_loadl_epi64(p.cast()));
                // 2^-127 is subnormal: exponent field 0, mantissa one half
                let bits = _mm256_max_epi32(_mm256_slli_epi32::<23>(e), _mm256_set1_epi32(1 << 22));
                _mm256_castsi256_ps(bits)
            };
            [half(p), half(p.add(8))]
        }

        fn splat_i(x: i32) -> I { [_mm256_set1_epi32(x); 2] }
        fn exp2_int(x: I) -> F {
            let half = |x| {
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(_mm256_add_epi32(x, _mm256_set1_epi32(127))))
            };
            [half(x[0]), half(x[1])]
        }
        fn store_i8(p: *mut i8, x: I) {
            let words = _mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_packs_epi32(x[0], x[1]));
            let bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
            _mm_storeu_si128(p.cast(), bytes)
        }
        fn sum_i(x: I) -> i32 {
            let x = _mm256_add_epi32(x[0], x[1]);
            let x = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x));
            let x = _mm_add_epi32(x, _mm_unpackhi_epi64(x, x));
            _mm_cvtsi128_si32(_mm_add_epi32(x, _mm_shuffle_epi32::<1>(x)))
        }

        fn load_bytes(p: *const u8) -> I {
            [_mm256_loadu_si256(p.cast()), _mm256_loadu_si256(p.add(32).cast())]
        }
        fn splat_byte(x: u8) -> I { [_mm256_set1_epi8(x as i8); 2] }

        fn dot_pair(acc: F, a: I, x: u32) -> F {
            let x0 = _mm256_set1_ps(f32::from_bits(x << 16));
            let x1 = _mm256_set1_ps(f32::from_bits(x & 0xffff_0000));
            let high = _mm256_set1_epi32(0xffff_0000_u32 as i32);
            let half = |acc, a| {
                let a0 = _mm256_castsi256_ps(_mm256_slli_epi32::<16>(a));
                let a1 = _mm256_castsi256_ps(_mm256_and_si256(a, high));
                _mm256_fmadd_ps(a1, x1, _mm256_fmadd_ps(a0, x0, acc))
            };
            [half(acc[0], a[0]), half(acc[1], a[1])]
        }
        fn store_f16(p: *mut u16, x: F) {
            _mm_storeu_si128(p.cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x[0]));
            _mm_storeu_si128(p.add(8).cast(), _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x[1]));
        }
        fn store_bf16(p: *mut u16, x: F) {
            let half = |x| {
                let bits = _mm256_castps_si256(x);
                let odd = _mm256_and_si256(_mm256_srli_epi32::<16>(bits), _mm256_set1_epi32(1));
                let up = _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff));
                let rounded = _mm256_srli_epi32::<16>(_mm256_add_epi32(bits, up));
                // a NaN must stay one
                let nan = _mm256_castps_si256(_mm256_cmp_ps::<_CMP_UNORD_Q>(x, x));
                _mm256_blendv_epi8(rounded, _mm256_set1_epi32(0x7fc0), nan)
            };
            let words = _mm256_packus_epi32(half(x[0]), half(x[1]));
            _mm256_storeu_si256(p.cast(), _mm256_permute4x64_epi64::<0b11_01_10_00>(words))
        }
    }

    #[inline(always)]
    unsafe fn shr<const N: i32>(a: I) -> I {
        // SAFETY: the trait's condition.
        unsafe { [_mm256_srli_epi16::<N>(a[0]), _mm256_srli_epi16::<N>(a[1])] }
    }

    #[inline(always)]
    unsafe fn shl<const N: i32>(a: I) -> I {
        // SAFETY: the trait's condition.
        unsafe { [_mm256_slli_epi16::<N>(a[0]), _mm256_slli_epi16::<N>(a[1])] }
    }

    #[inline(always)]
    unsafe fn dot<const WIDE: bool>(acc: I, a: I, x: i32) -> I {
        // SAFETY: the trait's condition.
        unsafe { [dot8::<VNNI, WIDE>(acc[0], a[0], x), dot8::<VNNI, WIDE>(acc[1], a[1], x)] }
    }

    #[inline(always)]
    unsafe fn byte<const K: i32>(a: I) -> F {
        let half = |a| {
            // SAFETY: the trait's condition.
            unsafe {
                let lane = _mm256_srl_epi32(a, _mm_cvtsi32_si128(8 * K));
                _mm256_cvtepi32_ps(_mm256_and_si256(lane, _mm256_set1_epi32(0xff)))
            }
        };
        [half(a[0]), half(a[1])]
    }

    #[inline(always)]
    unsafe fn byte_e4m3<const K: i32>(a: I) -> F {
        let half = |a| {
            // SAFETY: the trait's condition.
            unsafe {
                let lane = _mm256_srl_epi32(a, _mm_cvtsi32_si128(8 * K));
                let sign = _mm256_slli_epi32::<24>(_mm256_and_si256(lane, _mm256_set1_epi32(0x80)));
                let magnitude =
                    _mm256_slli_epi32::<20>(_mm256_and_si256(lane, _mm256_set1_epi32(0x7f)));
                // read with f32's exponent bias (127 for 7) the value is 2^-120 of what is meant
                let small = _mm256_castsi256_ps(_mm256_or_si256(sign, magnitude));
                _mm256_mul_ps(small, _mm256_set1_ps(super::portable::TWO_120))
            }
        };
        [half(a[0]), half(a[1])]
    }
}

/// [`Isa::dot`] of eight lanes.
///
/// # Safety
/// The machine has AVX2, and AVX-VNNI if `VNNI`.
#[inline(always)]
unsafe fn dot8<const VNNI: bool, const WIDE: bool>(acc: __m256i, a: __m256i, x: i32) -> __m256i {
    // SAFETY: the caller vouches for the instruction sets.
    unsafe {
        let x = _mm256_set1_epi32(x);
        if VNNI {
            return _mm256_dpbusd_avx_epi32(acc, a, x);
        }
        let ones = _mm256_set1_epi16(1);
        if !WIDE {
            // 2 * 127 * 127 fits 16 bits: the saturating sum never saturates
            return _mm256_add_epi32(acc, _mm256_madd_epi16(_mm256_maddubs_epi16(a, x), ones));
        }
        let nibble = _mm256_set1_epi8(15);
        let low = _mm256_maddubs_epi16(_mm256_and_si256(a, nibble), x);
        let high = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16::<4>(a), nibble), x);
        let low = _mm256_madd_epi16(low, ones);
        let high = _mm256_madd_epi16(high, _mm256_set1_epi16(16));
        _mm256_add_epi32(acc, _mm256_add_epi32(low, high))
    }
}
