//! Instruction sets behind one small trait, so that a kernel is written once.
//!
//! Everything is sixteen lanes wide, whatever the register: [`Isa::F`] holds 16 f32, [`Isa::I`] 16 i32 and
//! [`Isa::B`] 64 bytes (four for each lane). An instruction set with narrower registers uses several.
//!
//! A kernel implements [`Kernel`]; [`Level::run`] enters it through a function compiled for the chosen
//! instruction set, into which the generic body is inlined.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(test)]
mod tests;

use std::{fmt, str::FromStr};

pub(crate) use portable::Portable;

/// Lanes of a vector: rows of a weight tile, positions of a key block.
pub(crate) const LANES: usize = 16;

/// An instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Plain Rust, compiled for the target's baseline.
    Portable,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX2 with 256-bit integer dot products (AVX-VNNI).
    AvxVnni,
    /// AVX-512 F, BW, VL, DQ and VNNI.
    Avx512,
    /// The same with dot products of bfloat16 (AVX512-BF16).
    Avx512Bf16,
    /// NEON (AArch64 Advanced SIMD) alone.
    Neon,
    /// NEON with dot products of signed bytes (FEAT_DotProd).
    NeonDot,
    /// The same with those of unsigned with signed bytes (FEAT_I8MM).
    NeonI8mm,
    /// The same with dot products of bfloat16 (FEAT_BF16).
    NeonBf16,
}

impl Level {
    /// Every level there is, on any machine.
    pub const ALL: [Self; 9] = [
        Self::Portable,
        Self::Avx2,
        Self::AvxVnni,
        Self::Avx512,
        Self::Avx512Bf16,
        Self::Neon,
        Self::NeonDot,
        Self::NeonI8mm,
        Self::NeonBf16,
    ];

    /// Every level this machine can run, slowest first.
    pub fn available() -> Vec<Self> {
        #[allow(unused_mut)]
        let mut levels = vec![Self::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            if has!("avx2") && has!("fma") && has!("f16c") {
                levels.push(Self::Avx2);
                if has!("avxvnni") {
                    levels.push(Self::AvxVnni);
                }
                if has!("avx512f")
                    && has!("avx512bw")
                    && has!("avx512vl")
                    && has!("avx512dq")
                    && has!("avx512vnni")
                {
                    levels.push(Self::Avx512);
                    if has!("avx512bf16") {
                        levels.push(Self::Avx512Bf16);
                    }
                }
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            use std::arch::is_aarch64_feature_detected as has;
            if has!("neon") {
                levels.push(Self::Neon);
                if has!("dotprod") {
                    levels.push(Self::NeonDot);
                    if has!("i8mm") {
                        levels.push(Self::NeonI8mm);
                        if has!("bf16") {
                            levels.push(Self::NeonBf16);
                        }
                    }
                }
            }
        }
        levels
    }

    /// The fastest level of this machine.
    pub fn best() -> Self {
        Self::available().pop().unwrap_or(Self::Portable)
    }

    /// Runs `kernel`, compiled for this instruction set.
    ///
    /// # Safety
    /// The level is one of [`Level::available`], and the kernel's own conditions hold.
    #[inline]
    pub(crate) unsafe fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: the caller vouches for the level and for the kernel.
        unsafe {
            match self {
                #[cfg(target_arch = "x86_64")]
                Self::Avx512Bf16 => {
                    // kernels without such products are compiled once for both
                    if const { K::PAIRS } {
                        avx512::enter_bf16(kernel)
                    } else {
                        avx512::enter(kernel)
                    }
                }
                #[cfg(target_arch = "x86_64")]
                Self::Avx512 => avx512::enter(kernel),
                #[cfg(target_arch = "x86_64")]
                Self::AvxVnni => avx2::enter_vnni(kernel),
                #[cfg(target_arch = "x86_64")]
                Self::Avx2 => avx2::enter(kernel),
                #[cfg(target_arch = "aarch64")]
                Self::NeonBf16 => {
                    if const { K::PAIRS } {
                        neon::enter_bf16(kernel)
                    } else {
                        neon::enter_i8mm(kernel)
                    }
                }
                #[cfg(target_arch = "aarch64")]
                Self::NeonI8mm => neon::enter_i8mm(kernel),
                #[cfg(target_arch = "aarch64")]
                Self::NeonDot => neon::enter_dot(kernel),
                #[cfg(target_arch = "aarch64")]
                Self::Neon => neon::enter(kernel),
                _ => kernel.run::<Portable>(),
            }
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::AvxVnni => "avx-vnni",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Neon => "neon",
            Self::NeonDot => "neon-dot",
            Self::NeonI8mm => "neon-i8mm",
            Self::NeonBf16 => "neon-bf16",
        })
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|l| l.to_string() == name).ok_or_else(|| {
            let known = Self::ALL.map(|level| level.to_string()).join(", ");
            format!("unknown instruction set {name:?}; known are {known}")
        })?;
        if Self::available().contains(&found) {
            Ok(found)
        } else {
            Err(format!("this machine does not run {name}; its best is {}", Self::best()))
        }
    }
}

/// A computation over raw memory, written once for every instruction set.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;

    /// Whether it multiplies pairs of bfloat16.
    const PAIRS: bool = false;

    /// Runs it with instruction set `S`.
    ///
    /// Implementations are `#[inline(always)]`, so that they are compiled where they are entered.
    ///
    /// # Safety
    /// The machine has `S`, and the pointers the kernel carries are good for what it documents.
    unsafe fn run<S: Isa>(self) -> Self::Output;
}

/// Asks for the cache line at `p` ahead of time, into the second level; any address will do.
#[inline(always)]
pub(crate) fn prefetch(p: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: part of the x86-64 baseline; a hint that never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(p.cast())
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: part of the AArch64 baseline; a hint that never faults.
    unsafe {
        std::arch::asm!("prfm pldl2keep, [{}]", in(reg) p, options(nomem, nostack, preserves_flags));
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = p;
}

/// The vector operations kernels are made of.
///
/// # Safety
/// Every function needs a machine that has the instruction set; loads and stores need pointers good for
/// the whole vector, at any alignment.
#[allow(clippy::missing_safety_doc)] // one condition for all, above
pub(crate) trait Isa: Copy {
    /// 16 f32.
    type F: Copy;
    /// 16 i32.
    type I: Copy;
    /// 64 bytes.
    type B: Copy;

    /// Numbers of activation rows that its registers can hold sums for at once, besides one: a sum of
    /// powers of two.
    const SIZES: usize;

    /// Whether there are 32 registers of a whole vector each.
    const WIDE: bool;

    unsafe fn splat(x: f32) -> Self::F;
    unsafe fn load(p: *const f32) -> Self::F;
    unsafe fn store(p: *mut f32, x: Self::F);
    unsafe fn add(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn sub(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn mul(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn div(a: Self::F, b: Self::F) -> Self::F;
    /// `1 / x` within 2 units in the last place, for finite `|x|` from 1 to `2^125`.
    #[inline(always)]
    unsafe fn reciprocal(x: Self::F) -> Self::F {
        // SAFETY: the trait's condition.
        unsafe { Self::div(Self::splat(1.0), x) }
    }
    /// `a * b + c`, rounded once where the machine can.
    unsafe fn fma(a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    unsafe fn max(a: Self::F, b: Self::F) -> Self::F;
    unsafe fn min(a: Self::F, b: Self::F) -> Self::F;
    /// `|x|`.
    unsafe fn abs(x: Self::F) -> Self::F;
    /// `a > b ? yes : no`, lane by lane.
    unsafe fn select_gt(a: Self::F, b: Self::F, yes: Self::F, no: Self::F) -> Self::F;
    /// Lanes `lo..hi` of `x`, `other` elsewhere.
    unsafe fn keep(x: Self::F, lo: usize, hi: usize, other: f32) -> Self::F;
    /// Sum of the lanes: halves are added until one is left.
    unsafe fn sum(x: Self::F) -> f32;
    /// Largest lane.
    unsafe fn largest(x: Self::F) -> f32;

    /// 16 IEEE halves.
    unsafe fn load_f16(p: *const u16) -> Self::F;
    /// 16 bfloat16.
    unsafe fn load_bf16(p: *const u16) -> Self::F;
    /// 16 signed bytes.
    unsafe fn load_i8(p: *const i8) -> Self::F;
    /// 16 unsigned bytes.
    unsafe fn load_u8(p: *const u8) -> Self::F;
    /// 16 e8m0 exponents: `2^(byte - 127)`.
    unsafe fn load_e8m0(p: *const u8) -> Self::F;

    unsafe fn splat_i(x: i32) -> Self::I;
    unsafe fn add_i(a: Self::I, b: Self::I) -> Self::I;
    unsafe fn to_float(x: Self::I) -> Self::F;
    /// Nearest integers, ties to even.
    unsafe fn round(x: Self::F) -> Self::I;
    /// `2^x` for `-126 <= x <= 127`.
    unsafe fn exp2_int(x: Self::I) -> Self::F;
    /// Stores the low byte of each lane (values within -128 ..= 127).
    unsafe fn store_i8(p: *mut i8, x: Self::I);
    /// Sum of the lanes.
    unsafe fn sum_i(x: Self::I) -> i32;

    unsafe fn load_bytes(p: *const u8) -> Self::B;
    unsafe fn splat_byte(x: u8) -> Self::B;
    unsafe fn and(a: Self::B, b: Self::B) -> Self::B;
    unsafe fn or(a: Self::B, b: Self::B) -> Self::B;
    /// Shifts 16- or 32-bit lanes right; the caller masks what crosses a byte.
    unsafe fn shr<const N: i32>(a: Self::B) -> Self::B;
    /// Shifts 16- or 32-bit lanes left; the caller masks what crosses a byte.
    unsafe fn shl<const N: i32>(a: Self::B) -> Self::B;
    /// Looks each byte (0 ..= 15) up in a table of 16 bytes, repeated four times.
    unsafe fn lookup(table: Self::B, index: Self::B) -> Self::B;
    /// Adds to each lane of `acc` the dot product of its four unsigned bytes of `a` with the four signed
    /// bytes of `x`. Bytes of `a` may exceed 127 only if `WIDE`; bytes of `x` are never -128.
    unsafe fn dot<const WIDE: bool>(acc: Self::I, a: Self::B, x: i32) -> Self::I;
    /// Adds to each lane of `acc` the dot product of its two bfloat16 of `a` with the two of `x`.
    unsafe fn dot_pair(acc: Self::F, a: Self::B, x: u32) -> Self::F;
    /// Stores 16 values rounded to IEEE halves, ties to even.
    unsafe fn store_f16(p: *mut u16, x: Self::F);
    /// Stores 16 values rounded to bfloat16, ties to even; subnormal ones may become zero.
    unsafe fn store_bf16(p: *mut u16, x: Self::F);
    /// Byte `K` (0 ..= 3) of each lane as a float.
    unsafe fn byte<const K: i32>(a: Self::B) -> Self::F;
    /// Byte `K` (0 ..= 3) of each lane, an e4m3 float.
    unsafe fn byte_e4m3<const K: i32>(a: Self::B) -> Self::F;
}
