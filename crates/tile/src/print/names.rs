//! Names in the printed text: those the kernel's author gave, made unique, and none that either language knows.

use std::{collections::HashSet, sync::LazyLock};

/// Words of C++, Metal and CUDA, and the functions, types and macros of their libraries that a name must not hide. Vector
/// types (`float4`) and what the preludes define are found by rule.
const WORDS: &str = "
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const constexpr
const_cast continue decltype default delete do double dynamic_cast else enum explicit export extern false float for friend
goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public register
reinterpret_cast return short signed sizeof static static_assert static_cast struct switch template this thread_local throw
true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq concept requires
co_await co_return co_yield consteval constinit char8_t restrict typeof main local generic pipe
read_only write_only read_write

kernel vertex fragment device constant thread threadgroup threadgroup_imageblock ray_data object_data mesh metal atomic
half bfloat uchar ushort uint ulong size_t ptrdiff_t int8_t uint8_t int16_t uint16_t int32_t uint32_t int64_t uint64_t
vec matrix packed array texture sampler access coord level simd simd_vote quad mem_flags memory_order memory_order_relaxed
thread_scope precise fast numeric_limits as_type atomic_uint atomic_int atomic_float atomic_bool simdgroup_matrix
simdgroup_float8x8 simdgroup_half8x8 simdgroup_bfloat8x8 visible stitchable intersection patch args group_index thread_index
lane_index simdgroup_index

schar half2 nvcuda wmma nv_bfloat16 cudaError_t blockIdx threadIdx blockDim gridDim warpSize dim3 host global managed shared
clock clock64 printf malloc free memcpy memset abort assert trap

abs acos acosh asin asinh atan atan2 atanh cbrt ceil clamp clz copysign cos cosh cospi cross ctz degrees distance dot erf
erfc erfinv exp exp10 exp2 expm1 fabs fdim floor fma fmax fmin fmod fract frexp gamma hypot ilogb isfinite isinf isnan
isnormal j0 j1 jn ldexp length lgamma log log10 log1p log2 logb max max3 median3 min min3 mix modf nan nearbyint nextafter
normalize norm norm3d norm4d pow powr popcount radians reflect refract remainder remquo reverse_bits rhypot rint rotate round
rsqrt saturate scalbn select sign signbit sin sincos sinh sinpi smoothstep sqrt step tan tanh tanpi tgamma trunc y0 y1 yn
absf cosf expf exp2f fabsf floorf fmaf fmaxf fminf logf rintf rsqrtf sinf sqrtf tanhf labs llabs mul24 mad24 mulhi madsat
addsat subsat absdiff hadd rhadd extract_bits insert_bits any all div ldiv lldiv atomicAdd atomicMax atomicMin atomicOr
make_uint2 make_uint4 make_int2 make_int4 make_float2 make_float4 atomic_fetch_add_explicit atomic_fetch_max_explicit
atomic_fetch_min_explicit atomic_fetch_or_explicit threadgroup_barrier simdgroup_barrier simd_shuffle simd_shuffle_xor
simd_shuffle_up simd_max simd_min simd_sum simd_ballot simd_prefix_exclusive_sum simdgroup_load simdgroup_store
simdgroup_multiply simdgroup_multiply_accumulate make_filled_simdgroup_matrix discard_fragment

INFINITY NAN NULL HUGE_VALF MAXFLOAT FLT_MAX FLT_MIN FLT_EPSILON INT_MAX INT_MIN UINT_MAX CHAR_BIT CHAR_MAX CHAR_MIN SCHAR_MAX
SCHAR_MIN UCHAR_MAX SHRT_MAX SHRT_MIN USHRT_MAX LONG_MAX LONG_MIN ULONG_MAX HALF_MAX EOF RAND_MAX DBL_MAX DBL_MIN DBL_EPSILON
";

static RESERVED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let preludes = [super::metal_prelude(), super::cuda_prelude()];
    WORDS.split_whitespace().chain(preludes.into_iter().flat_map(defined)).collect()
});

/// What a prelude calls, defines as a type or as a macro.
fn defined(prelude: &'static str) -> impl Iterator<Item = &'static str> {
    let code = prelude.lines().map(|line| line.split("//").next().unwrap_or(line));
    code.flat_map(|line| {
        let called = line.match_indices('(').filter_map(|(at, _)| last_word(&line[..at]));
        let typed = ["struct ", "#define "].into_iter().filter_map(|mark| {
            let rest = line.trim_start().strip_prefix(mark)?;
            rest.split(|c: char| !is_word(c)).next()
        });
        let renamed = line.trim_start().starts_with("typedef ").then(|| {
            let end = line.find(';').unwrap_or(line.len());
            last_word(&line[..end])
        });
        called.chain(typed).chain(renamed.flatten())
    })
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn last_word(text: &str) -> Option<&str> {
    let begin = text.trim_end_matches(is_word).len();
    (begin < text.len()).then(|| &text[begin..])
}

/// Whether a name means something in Metal, in CUDA or in a prelude.
pub fn reserved(name: &str) -> bool {
    let base = name.strip_prefix("packed_").unwrap_or(name);
    let base = base.trim_end_matches(|c: char| c.is_ascii_digit() || c == 'x');
    // vectors and matrices: float4, uint2, half8x8
    let vector = base != name
        && matches!(
            base,
            "bool"
                | "char"
                | "uchar"
                | "short"
                | "ushort"
                | "int"
                | "uint"
                | "long"
                | "ulong"
                | "half"
                | "bfloat"
                | "float"
                | "double"
                | "longlong"
                | "ulonglong"
        );
    vector
        || RESERVED.contains(name)
        || name.starts_with('_')
        || name.ends_with("_t") && RESERVED.contains(&name[..name.len() - 2])
        || name.starts_with("M_")
        || name.starts_with("metal_")
        || name.starts_with("cuda")
        || name.starts_with("tessera_")
}

/// The names of one function.
#[derive(Debug, Default)]
pub struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// A name like the one wanted that nothing else has.
    pub fn unique(&mut self, wanted: &str) -> String {
        let wanted = wanted.strip_prefix("r#").unwrap_or(wanted);
        let mut base: String = wanted.chars().map(|c| if is_word(c) { c } else { '_' }).collect();
        if !base.starts_with(|c: char| c.is_ascii_alphabetic()) {
            base.insert(0, 'v');
        }
        let mut name = base.clone();
        let mut n = 0;
        while reserved(&name) || self.taken.contains(&name) {
            n += 1;
            name = format!("{base}_{n}");
        }
        self.taken.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_languages_are_reserved() {
        for name in [
            // both
            "for",
            "float",
            "float4",
            "uint2",
            "half",
            "char3",
            "min",
            "exp",
            "main",
            "size_t",
            "args",
            "template",
            // Metal
            "thread",
            "device",
            "kernel",
            "constant",
            "threadgroup",
            "half4x4",
            "packed_float3",
            "as_type",
            "ushort4",
            "simd_shuffle_xor",
            "popcount",
            "atomic_uint",
            "metal",
            "M_PI_F",
            "INFINITY",
            // CUDA
            "blockIdx",
            "__half",
            "__syncthreads",
            "expf",
            "atomicAdd",
            "make_uint4",
            "nvcuda",
            "cudaMalloc",
            "rsqrtf",
            // the preludes
            "sum_of_lanes",
            "float_of_bfloat",
            "tile_load",
            "tile_f16_left",
            "tile_f32_sum",
            "half_of_float",
            "round_to_tf32",
            "widen_u8x4",
            "join_uint2",
            "TESSERA_INLINE",
            "ballot_of_lanes",
            "uchar",
            "schar",
            "wrapping_abs",
            // what the printers declare
            "group_index",
            "thread_index",
            "lane_index",
            "simdgroup_index",
        ] {
            assert!(reserved(name), "{name}");
        }
    }

    #[test]
    fn other_names_are_free() {
        for name in [
            "x",
            "y",
            "a",
            "t",
            "i",
            "from",
            "to",
            "stride",
            "sum",
            "left",
            "right",
            "lane",
            "group",
            "row",
            "acc",
            "before",
            "tile",
            "own",
            "scale",
            "weights",
            "x4",
            "head_dim",
            "partial",
            "bits",
            "softmax",
            "rms_norm_bf16",
            "matvec_b4_g64",
            "attend",
            "float_sum",
            "position",
            "index",
            "out",
            "value",
            "k",
            "total",
        ] {
            assert!(!reserved(name), "{name}");
        }
    }

    #[test]
    fn names_are_unique_and_identifiers() {
        let mut names = Names::default();
        let wanted = ["x", "x", "x_1", "half", "r#struct", "_y", "größe", "x", "2d", ""];
        let given = wanted.map(|name| names.unique(name));
        assert_eq!(
            given,
            ["x", "x_1", "x_1_1", "half_1", "struct_1", "v_y", "gr__e", "x_2", "v2d", "v"]
        );
    }

    #[test]
    fn each_call_in_a_prelude_is_reserved() {
        for prelude in [super::super::metal_prelude(), super::super::cuda_prelude()] {
            let found: Vec<_> = defined(prelude).collect();
            assert!(found.contains(&"tile_multiply") && found.contains(&"bfloat_of_float"));
            assert!(found.iter().all(|name| reserved(name)));
        }
    }
}
