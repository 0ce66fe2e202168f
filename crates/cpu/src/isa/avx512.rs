//! AVX-512: one register is one vector.

use std::arch::x86_64::*;

use super::{Isa, Kernel};

/// AVX-512 F, BW, VL, DQ and VNNI; with `BF16`, AVX512-BF16 too.
#[derive(Clone, Copy)]
pub(super) struct Avx512<const BF16: bool>;

/// Runs a kernel compiled for this instruction set.
///
/// # Safety
/// The machine has it; the kernel's own conditions hold.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn enter<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the features are enabled here; the rest is the caller's.
    unsafe { kernel.run::<Avx512<false>>() }
}

/// Runs a kernel compiled for this instruction set with AVX512-BF16.
///
/// # Safety
/// The machine has it; the kernel's own conditions hold.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,avx512bf16,avx2,fma,f16c")]
pub(super) unsafe fn enter_bf16<K: Kernel>(kernel: K) -> K::Output {
    // SAFETY: the features are enabled here; the rest is the caller's.
    unsafe { kernel.run::<Avx512<true>>() }
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

impl<const BF16: bool> Isa for Avx512<BF16> {
    type F = __m512;
    type I = __m512i;
    type B = __m512i;
    const SIZES: usize = 8 | 4 | 2;
    const WIDE: bool = true;

    ops! {
        fn splat(x: f32) -> __m512 { _mm512_set1_ps(x) }
        fn load(p: *const f32) -> __m512 { _mm512_loadu_ps(p) }
        fn store(p: *mut f32, x: __m512) { _mm512_storeu_ps(p, x) }
        fn add(a: __m512, b: __m512) -> __m512 { _mm512_add_ps(a, b) }
        fn sub(a: __m512, b: __m512) -> __m512 { _mm512_sub_ps(a, b) }
        fn mul(a: __m512, b: __m512) -> __m512 { _mm512_mul_ps(a, b) }
        fn div(a: __m512, b: __m512) -> __m512 { _mm512_div_ps(a, b) }
        fn reciprocal(x: __m512) -> __m512 {
            // 14 bits, then one step of Newton's method
            let y = _mm512_rcp14_ps(x);
            _mm512_mul_ps(y, _mm512_fnmadd_ps(x, y, _mm512_set1_ps(2.0)))
        }
        fn fma(a: __m512, b: __m512, c: __m512) -> __m512 { _mm512_fmadd_ps(a, b, c) }
        fn max(a: __m512, b: __m512) -> __m512 { _mm512_max_ps(a, b) }
        fn min(a: __m512, b: __m512) -> __m512 { _mm512_min_ps(a, b) }
        fn abs(x: __m512) -> __m512 { _mm512_abs_ps(x) }
        fn select_gt(a: __m512, b: __m512, yes: __m512, no: __m512) -> __m512 {
            _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), yes)
        }
        fn keep(x: __m512, lo: usize, hi: usize, other: f32) -> __m512 {
            let mask = ((1u32 << hi) - 1) & !((1u32 << lo) - 1);
            _mm512_mask_mov_ps(_mm512_set1_ps(other), mask as u16, x)
        }
        fn sum(x: __m512) -> f32 {
            let x = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            super::avx2::sum8(x)
        }
        fn largest(x: __m512) -> f32 { _mm512_reduce_max_ps(x) }

        fn load_f16(p: *const u16) -> __m512 { _mm512_cvtph_ps(_mm256_loadu_si256(p.cast())) }
        fn load_bf16(p: *const u16) -> __m512 {
            _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(_mm256_loadu_si256(p.cast()))))
        }
        fn load_i8(p: *const i8) -> __m512 {
            _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(p.cast())))
        }
        fn load_u8(p: *const u8) -> __m512 {
            _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast())))
        }
        fn load_e8m0(p: *const u8) -> __m512 {
            let e = _mm512_cvtepu8_epi32(_mm_loadu_si128(p.cast()));
            // 2^-127 is subnormal: exponent field 0, mantissa one half
            let bits = _mm512_max_epi32(_mm512_slli_epi32::<23>(e), _mm512_set1_epi32(1 << 22));
            _mm512_castsi512_ps(bits)
        }

        fn splat_i(x: i32) -> __m512i { _mm512_set1_epi32(x) }
        fn add_i(a: __m512i, b: __m512i) -> __m512i { _mm512_add_epi32(a, b) }
        fn to_float(x: __m512i) -> __m512 { _mm512_cvtepi32_ps(x) }
        fn round(x: __m512) -> __m512i { _mm512_cvtps_epi32(x) }
        fn exp2_int(x: __m512i) -> __m512 {
            _mm512_castsi512_ps(_mm512_slli_epi32::<23>(_mm512_add_epi32(x, _mm512_set1_epi32(127))))
        }
        fn store_i8(p: *mut i8, x: __m512i) { _mm_storeu_si128(p.cast(), _mm512_cvtepi32_epi8(x)) }
        fn sum_i(x: __m512i) -> i32 { _mm512_reduce_add_epi32(x) }

        fn load_bytes(p: *const u8) -> __m512i { _mm512_loadu_si512(p.cast()) }
        fn splat_byte(x: u8) -> __m512i { _mm512_set1_epi8(x as i8) }
        fn and(a: __m512i, b: __m512i) -> __m512i { _mm512_and_si512(a, b) }
        fn or(a: __m512i, b: __m512i) -> __m512i { _mm512_or_si512(a, b) }
        fn lookup(table: __m512i, index: __m512i) -> __m512i { _mm512_shuffle_epi8(table, index) }
        fn dot<const WIDE: bool>(acc: __m512i, a: __m512i, x: i32) -> __m512i {
            _mm512_dpbusd_epi32(acc, a, _mm512_set1_epi32(x))
        }

        fn dot_pair(acc: __m512, a: __m512i, x: u32) -> __m512 {
            if BF16 {
                // SAFETY: both are 512 bits of plain data
                let (a, x) = (std::mem::transmute::<__m512i, __m512bh>(a),
                    std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(x as i32)));
                return _mm512_dpbf16_ps(acc, a, x);
            }
            let (x0, x1) = (f32::from_bits(x << 16), f32::from_bits(x & 0xffff_0000));
            let a0 = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(a));
            let a1 = _mm512_castsi512_ps(_mm512_and_si512(a, _mm512_set1_epi32(0xffff_0000_u32 as i32)));
            _mm512_fmadd_ps(a1, _mm512_set1_ps(x1), _mm512_fmadd_ps(a0, _mm512_set1_ps(x0), acc))
        }
        fn store_f16(p: *mut u16, x: __m512) {
            _mm256_storeu_si256(p.cast(), _mm512_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(x))
        }
        fn store_bf16(p: *mut u16, x: __m512) {
            if BF16 {
                // SAFETY: both are 256 bits of plain data
                let x = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(x));
                return _mm256_storeu_si256(p.cast(), x);
            }
            let bits = _mm512_castps_si512(x);
            let odd = _mm512_and_si512(_mm512_srli_epi32::<16>(bits), _mm512_set1_epi32(1));
            let up = _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff));
            let rounded = _mm512_srli_epi32::<16>(_mm512_add_epi32(bits, up));
            // a NaN must stay one
            let nan = _mm512_cmp_ps_mask::<_CMP_UNORD_Q>(x, x);
            let rounded = _mm512_mask_mov_epi32(rounded, nan, _mm512_set1_epi32(0x7fc0));
            _mm256_storeu_si256(p.cast(), _mm512_cvtepi32_epi16(rounded))
        }
    }

    #[inline(always)]
    unsafe fn shr<const N: i32>(a: __m512i) -> __m512i {
        // SAFETY: the trait's condition.
        unsafe { _mm512_srl_epi16(a, _mm_cvtsi32_si128(N)) }
    }

    #[inline(always)]
    unsafe fn shl<const N: i32>(a: __m512i) -> __m512i {
        // SAFETY: the trait's condition.
        unsafe { _mm512_sll_epi16(a, _mm_cvtsi32_si128(N)) }
    }

    #[inline(always)]
    unsafe fn byte<const K: i32>(a: __m512i) -> __m512 {
        // SAFETY: the trait's condition.
        unsafe {
            let lane = _mm512_srl_epi32(a, _mm_cvtsi32_si128(8 * K));
            _mm512_cvtepi32_ps(_mm512_and_si512(lane, _mm512_set1_epi32(0xff)))
        }
    }

    #[inline(always)]
    unsafe fn byte_e4m3<const K: i32>(a: __m512i) -> __m512 {
        // SAFETY: the trait's condition.
        unsafe {
            let lane = _mm512_srl_epi32(a, _mm_cvtsi32_si128(8 * K));
            let sign = _mm512_slli_epi32::<24>(_mm512_and_si512(lane, _mm512_set1_epi32(0x80)));
            let magnitude =
                _mm512_slli_epi32::<20>(_mm512_and_si512(lane, _mm512_set1_epi32(0x7f)));
            // read with f32's exponent bias (127 for 7) the value is 2^-120 of what is meant
            let small = _mm512_castsi512_ps(_mm512_or_si512(sign, magnitude));
            _mm512_mul_ps(small, _mm512_set1_ps(super::portable::TWO_120))
        }
    }
}
