// Needs no header but what the compiler brings: run-time compilation then asks for nothing but its library. Whoever compiles
// for something else than a GPU defines TESSERA_INSTRUCTIONS and has what is written in PTX here.

typedef unsigned char uchar;
typedef signed char schar;
typedef unsigned short ushort;
typedef unsigned int uint;

#define TESSERA_INLINE __device__ __forceinline__

// The upper half of a float.
TESSERA_INLINE float float_of_bfloat(ushort bits) {
    return __uint_as_float(uint(bits) << 16);
}

// To the nearest, ties to even; what is not a number stays so.
TESSERA_INLINE ushort bfloat_of_float(float x) {
    const uint bits = __float_as_uint(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return ushort((bits >> 16) | 0x40u);
    }
    return ushort((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

#ifndef TESSERA_INSTRUCTIONS
// A number of half precision, as it lies in memory.
struct half {
    ushort bits;
};

TESSERA_INLINE float float_of_half_bits(uint bits) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(ushort(bits)));
    return x;
}

// To the nearest, ties to even.
TESSERA_INLINE ushort half_bits_of_float(float x) {
    ushort bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(x));
    return bits;
}
#endif

TESSERA_INLINE float float_of_half(half x) {
    return float_of_half_bits(x.bits);
}

TESSERA_INLINE half half_of_float(float x) {
    half rounded;
    rounded.bits = half_bits_of_float(x);
    return rounded;
}

// To the nearest of the type's numbers in the direction of zero; 0 of what is not a number.
TESSERA_INLINE int saturating_int(float x) {
    return __float2int_rz(x);
}

TESSERA_INLINE uint saturating_uint(float x) {
    return __float2uint_rz(x);
}

TESSERA_INLINE int wrapping_abs(int x) {
    return x < 0 ? int(0u - uint(x)) : x;
}

// Neighbours loaded at once, the first in the lowest bits.
TESSERA_INLINE float2 widen_f16x2(uint x) {
    return make_float2(float_of_half_bits(x), float_of_half_bits(x >> 16));
}

TESSERA_INLINE float4 widen_f16x4(uint2 x) {
    return make_float4(float_of_half_bits(x.x), float_of_half_bits(x.x >> 16),
                       float_of_half_bits(x.y), float_of_half_bits(x.y >> 16));
}

TESSERA_INLINE float2 widen_bf16x2(uint x) {
    return make_float2(__uint_as_float(x << 16), __uint_as_float(x & 0xffff0000u));
}

TESSERA_INLINE float4 widen_bf16x4(uint2 x) {
    return make_float4(__uint_as_float(x.x << 16), __uint_as_float(x.x & 0xffff0000u),
                       __uint_as_float(x.y << 16), __uint_as_float(x.y & 0xffff0000u));
}

TESSERA_INLINE uint2 widen_u16x2(uint x) {
    return make_uint2(x & 0xffffu, x >> 16);
}

TESSERA_INLINE uint4 widen_u16x4(uint2 x) {
    return make_uint4(x.x & 0xffffu, x.x >> 16, x.y & 0xffffu, x.y >> 16);
}

TESSERA_INLINE uint2 widen_u8x2(ushort x) {
    return make_uint2(x & 0xffu, x >> 8);
}

TESSERA_INLINE uint4 widen_u8x4(uint x) {
    return make_uint4(x & 0xffu, (x >> 8) & 0xffu, (x >> 16) & 0xffu, x >> 24);
}

TESSERA_INLINE int2 widen_i8x2(ushort x) {
    return make_int2(schar(x & 0xffu), schar(x >> 8));
}

TESSERA_INLINE int4 widen_i8x4(uint x) {
    return make_int4(schar(x & 0xffu), schar((x >> 8) & 0xffu), schar((x >> 16) & 0xffu), schar(x >> 24));
}

// Neighbours stored at once.
TESSERA_INLINE uint narrow_f16x2(float a, float b) {
    return uint(half_bits_of_float(a)) | (uint(half_bits_of_float(b)) << 16);
}

TESSERA_INLINE uint2 narrow_f16x4(float a, float b, float c, float d) {
    return make_uint2(narrow_f16x2(a, b), narrow_f16x2(c, d));
}

TESSERA_INLINE uint narrow_bf16x2(float a, float b) {
    return uint(bfloat_of_float(a)) | (uint(bfloat_of_float(b)) << 16);
}

TESSERA_INLINE uint2 narrow_bf16x4(float a, float b, float c, float d) {
    return make_uint2(narrow_bf16x2(a, b), narrow_bf16x2(c, d));
}

TESSERA_INLINE uint narrow_u16x2(uint a, uint b) {
    return (a & 0xffffu) | (b << 16);
}

TESSERA_INLINE uint2 narrow_u16x4(uint a, uint b, uint c, uint d) {
    return make_uint2(narrow_u16x2(a, b), narrow_u16x2(c, d));
}

TESSERA_INLINE ushort narrow_u8x2(uint a, uint b) {
    return ushort((a & 0xffu) | ((b & 0xffu) << 8));
}

TESSERA_INLINE uint narrow_u8x4(uint a, uint b, uint c, uint d) {
    return uint(narrow_u8x2(a, b)) | (uint(narrow_u8x2(c, d)) << 16);
}

TESSERA_INLINE ushort narrow_i8x2(int a, int b) {
    return narrow_u8x2(uint(a), uint(b));
}

TESSERA_INLINE uint narrow_i8x4(int a, int b, int c, int d) {
    return narrow_u8x4(uint(a), uint(b), uint(c), uint(d));
}

TESSERA_INLINE uint4 join_uint2(uint2 lower, uint2 upper) {
    return make_uint4(lower.x, lower.y, upper.x, upper.y);
}

// Sums by halving distances: every lane gets the same bits.
TESSERA_INLINE float sum_of_lanes(float x) {
    x = x + __shfl_xor_sync(0xffffffffu, x, 16);
    x = x + __shfl_xor_sync(0xffffffffu, x, 8);
    x = x + __shfl_xor_sync(0xffffffffu, x, 4);
    x = x + __shfl_xor_sync(0xffffffffu, x, 2);
    return x + __shfl_xor_sync(0xffffffffu, x, 1);
}

TESSERA_INLINE uint sum_of_lanes(uint x) {
    x = x + __shfl_xor_sync(0xffffffffu, x, 16);
    x = x + __shfl_xor_sync(0xffffffffu, x, 8);
    x = x + __shfl_xor_sync(0xffffffffu, x, 4);
    x = x + __shfl_xor_sync(0xffffffffu, x, 2);
    return x + __shfl_xor_sync(0xffffffffu, x, 1);
}

TESSERA_INLINE int sum_of_lanes(int x) {
    return int(sum_of_lanes(uint(x)));
}

TESSERA_INLINE float max_of_lanes(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 16));
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 8));
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 4));
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
}

TESSERA_INLINE float min_of_lanes(float x) {
    return -max_of_lanes(-x);
}

TESSERA_INLINE uint max_of_lanes(uint x) {
    x = max(x, __shfl_xor_sync(0xffffffffu, x, 16));
    x = max(x, __shfl_xor_sync(0xffffffffu, x, 8));
    x = max(x, __shfl_xor_sync(0xffffffffu, x, 4));
    x = max(x, __shfl_xor_sync(0xffffffffu, x, 2));
    return max(x, __shfl_xor_sync(0xffffffffu, x, 1));
}

TESSERA_INLINE uint min_of_lanes(uint x) {
    return ~max_of_lanes(~x);
}

// Signed numbers are ordered as unsigned ones with the highest bit changed.
TESSERA_INLINE int max_of_lanes(int x) {
    return int(max_of_lanes(uint(x) ^ 0x80000000u) ^ 0x80000000u);
}

TESSERA_INLINE int min_of_lanes(int x) {
    return int(min_of_lanes(uint(x) ^ 0x80000000u) ^ 0x80000000u);
}

// Sum of the lanes before this one: over doubling distances, then moved up by a lane.
TESSERA_INLINE float sum_of_lanes_before(float x, uint lane) {
    float before = __shfl_up_sync(0xffffffffu, x, 1);
    x = lane >= 1u ? x + before : x;
    before = __shfl_up_sync(0xffffffffu, x, 2);
    x = lane >= 2u ? x + before : x;
    before = __shfl_up_sync(0xffffffffu, x, 4);
    x = lane >= 4u ? x + before : x;
    before = __shfl_up_sync(0xffffffffu, x, 8);
    x = lane >= 8u ? x + before : x;
    before = __shfl_up_sync(0xffffffffu, x, 16);
    x = lane >= 16u ? x + before : x;
    before = __shfl_up_sync(0xffffffffu, x, 1);
    return lane >= 1u ? before : 0.0f;
}

TESSERA_INLINE uint sum_of_lanes_before(uint x, uint lane) {
    const uint own = x;
    uint before = __shfl_up_sync(0xffffffffu, x, 1);
    x = lane >= 1u ? x + before : x;
    before = __shfl_up_sync(0xffffffffu, x, 2);
    x = lane >= 2u ? x + before : x;
    before = __shfl_up_sync(0xffffffffu, x, 4);
    x = lane >= 4u ? x + before : x;
    before = __shfl_up_sync(0xffffffffu, x, 8);
    x = lane >= 8u ? x + before : x;
    before = __shfl_up_sync(0xffffffffu, x, 16);
    x = lane >= 16u ? x + before : x;
    return x - own;
}

TESSERA_INLINE int sum_of_lanes_before(int x, uint lane) {
    return int(sum_of_lanes_before(uint(x), lane));
}

#ifndef TESSERA_INSTRUCTIONS
TESSERA_INLINE uint shared_address(const void* pointer) {
    return uint(__cvta_generic_to_shared(pointer));
}

// Staged copies, zeros where it is not inside. What has none that are on their way does them at once.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
#define TESSERA_STAGE(stage_some, type, cache, bytes)                                                                \
    TESSERA_INLINE void stage_some(void* to, const void* from, bool inside = true) {                                 \
        asm volatile("cp.async." cache ".shared.global [%0], [%1], " #bytes ", %2;"                                  \
                     :                                                                                               \
                     : "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(inside ? bytes : 0)         \
                     : "memory");                                                                                    \
    }

TESSERA_INLINE void stage_commit() {
    asm volatile("cp.async.commit_group;" : : : "memory");
}

template <int groups>
TESSERA_INLINE void stage_wait() {
    asm volatile("cp.async.wait_group %0;" : : "n"(groups) : "memory");
}
#else
#define TESSERA_STAGE(stage_some, type, cache, bytes)                                                                \
    TESSERA_INLINE void stage_some(void* to, const void* from, bool inside = true) {                                 \
        *(type*)to = inside ? *(const type*)from : type();                                                           \
    }

TESSERA_INLINE void stage_commit() {}

template <int groups>
TESSERA_INLINE void stage_wait() {}
#endif
TESSERA_STAGE(stage_4, uint, "ca", 4)
TESSERA_STAGE(stage_8, uint2, "ca", 8)
TESSERA_STAGE(stage_16, uint4, "cg", 16)
#endif

// Matrices of 16 x 16, spread over the lanes, in shared memory otherwise. Of half precision they are what the device has; of
// single precision their elements are rounded to 11 significant bits (tf32), and they are two matrices of 16 x 8 and 8 x 16.
#ifndef TESSERA_INSTRUCTIONS
#define TESSERA_4(x) "=r"((x)[0]), "=r"((x)[1]), "=r"((x)[2]), "=r"((x)[3])
#define TESSERA_8(x) TESSERA_4(x), TESSERA_4((x) + 4)
#define TESSERA_READ_4(x) "r"((x)[0]), "r"((x)[1]), "r"((x)[2]), "r"((x)[3])
#define TESSERA_READ_8(x) TESSERA_READ_4(x), TESSERA_READ_4((x) + 4)
#define TESSERA_SUM_4(x) "+f"((x)[0]), "+f"((x)[1]), "+f"((x)[2]), "+f"((x)[3])
#define TESSERA_SUM_8(x) TESSERA_SUM_4(x), TESSERA_SUM_4((x) + 4)

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 700
struct tile_f16_left {
    uint x[8];
};
struct tile_f16_left_transposed {
    uint x[8];
};
struct tile_f16_right {
    uint x[8];
};
struct tile_f16_right_transposed {
    uint x[8];
};
struct tile_f16_sum {
    float x[8];
};

#define TESSERA_LOAD_F16(type, side, order)                                                                          \
    TESSERA_INLINE void tile_load(type& tile, const half* from, uint stride) {                                       \
        asm volatile("wmma.load." side ".sync.aligned." order                                                        \
                     ".m16n16k16.shared.f16 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8], %9;"                             \
                     : TESSERA_8(tile.x)                                                                             \
                     : "r"(shared_address(from)), "r"(stride)                                                        \
                     : "memory");                                                                                    \
    }
TESSERA_LOAD_F16(tile_f16_left, "a", "row")
TESSERA_LOAD_F16(tile_f16_left_transposed, "a", "col")
TESSERA_LOAD_F16(tile_f16_right, "b", "row")
TESSERA_LOAD_F16(tile_f16_right_transposed, "b", "col")

#define TESSERA_MULTIPLY_F16(left_type, right_type, orders)                                                          \
    TESSERA_INLINE void tile_multiply(tile_f16_sum& sum, const left_type& left, const right_type& right) {           \
        asm volatile("wmma.mma.sync.aligned." orders                                                                 \
                     ".m16n16k16.f32.f32 {%0, %1, %2, %3, %4, %5, %6, %7}, "                                         \
                     "{%8, %9, %10, %11, %12, %13, %14, %15}, {%16, %17, %18, %19, %20, %21, %22, %23}, "            \
                     "{%0, %1, %2, %3, %4, %5, %6, %7};"                                                             \
                     : TESSERA_SUM_8(sum.x)                                                                          \
                     : TESSERA_READ_8(left.x), TESSERA_READ_8(right.x));                                             \
    }
TESSERA_MULTIPLY_F16(tile_f16_left, tile_f16_right, "row.row")
TESSERA_MULTIPLY_F16(tile_f16_left, tile_f16_right_transposed, "row.col")
TESSERA_MULTIPLY_F16(tile_f16_left_transposed, tile_f16_right, "col.row")
TESSERA_MULTIPLY_F16(tile_f16_left_transposed, tile_f16_right_transposed, "col.col")

// A sum, back from where it was stored.
#define TESSERA_LOAD_SUM(type, shape)                                                                                \
    TESSERA_INLINE void tile_load(type& tile, const float* from, uint stride) {                                      \
        asm volatile("wmma.load.c.sync.aligned.row." shape                                                           \
                     ".shared.f32 {%0, %1, %2, %3, %4, %5, %6, %7}, [%8], %9;"                                       \
                     : "=f"(tile.x[0]), "=f"(tile.x[1]), "=f"(tile.x[2]), "=f"(tile.x[3]), "=f"(tile.x[4]),          \
                       "=f"(tile.x[5]), "=f"(tile.x[6]), "=f"(tile.x[7])                                             \
                     : "r"(shared_address(from)), "r"(stride)                                                        \
                     : "memory");                                                                                    \
    }
TESSERA_LOAD_SUM(tile_f16_sum, "m16n16k16")

template <class Sum>
TESSERA_INLINE void tile_fill(Sum& tile, float x) {
    for (int i = 0; i < 8; ++i) {
        tile.x[i] = x;
    }
}

TESSERA_INLINE void tile_store(const tile_f16_sum& tile, float* to, uint stride) {
    asm volatile("wmma.store.d.sync.aligned.row.m16n16k16.shared.f32 [%0], {%1, %2, %3, %4, %5, %6, %7, %8}, %9;"
                 :
                 : "r"(shared_address(to)), "f"(tile.x[0]), "f"(tile.x[1]), "f"(tile.x[2]), "f"(tile.x[3]),
                   "f"(tile.x[4]), "f"(tile.x[5]), "f"(tile.x[6]), "f"(tile.x[7]), "r"(stride)
                 : "memory");
}
#endif

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
struct tile_f32_left {
    uint x[2][4];
};
struct tile_f32_left_transposed {
    uint x[2][4];
};
struct tile_f32_right {
    uint x[2][4];
};
struct tile_f32_right_transposed {
    uint x[2][4];
};
struct tile_f32_sum {
    float x[8];
};

TESSERA_LOAD_SUM(tile_f32_sum, "m16n16k8")

TESSERA_INLINE uint round_to_tf32(uint bits) {
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(__uint_as_float(bits)));
    return bits;
}

// What is summed over runs along the rows in memory, or across them: the second half lies 8 elements on, or 8 rows.
#define TESSERA_LOAD_F32(type, side, order, half_offset)                                                             \
    TESSERA_INLINE void tile_load(type& tile, const float* from, uint stride) {                                      \
        for (int k = 0; k < 2; ++k) {                                                                                \
            asm volatile("wmma.load." side ".sync.aligned." order                                                    \
                         ".m16n16k8.shared.tf32 {%0, %1, %2, %3}, [%4], %5;"                                         \
                         : TESSERA_4(tile.x[k])                                                                      \
                         : "r"(shared_address(from + k * (half_offset))), "r"(stride)                                \
                         : "memory");                                                                                \
            for (int i = 0; i < 4; ++i) {                                                                            \
                tile.x[k][i] = round_to_tf32(tile.x[k][i]);                                                          \
            }                                                                                                        \
        }                                                                                                            \
    }
TESSERA_LOAD_F32(tile_f32_left, "a", "row", 8u)
TESSERA_LOAD_F32(tile_f32_left_transposed, "a", "col", 8u * stride)
TESSERA_LOAD_F32(tile_f32_right, "b", "row", 8u * stride)
TESSERA_LOAD_F32(tile_f32_right_transposed, "b", "col", 8u)

#define TESSERA_MULTIPLY_F32(left_type, right_type, orders)                                                          \
    TESSERA_INLINE void tile_multiply(tile_f32_sum& sum, const left_type& left, const right_type& right) {           \
        for (int k = 0; k < 2; ++k) {                                                                                \
            asm volatile("wmma.mma.sync.aligned." orders                                                             \
                         ".m16n16k8.f32.tf32.tf32.f32 {%0, %1, %2, %3, %4, %5, %6, %7}, "                            \
                         "{%8, %9, %10, %11}, {%12, %13, %14, %15}, {%0, %1, %2, %3, %4, %5, %6, %7};"               \
                         : TESSERA_SUM_8(sum.x)                                                                      \
                         : TESSERA_READ_4(left.x[k]), TESSERA_READ_4(right.x[k]));                                   \
        }                                                                                                            \
    }
TESSERA_MULTIPLY_F32(tile_f32_left, tile_f32_right, "row.row")
TESSERA_MULTIPLY_F32(tile_f32_left, tile_f32_right_transposed, "row.col")
TESSERA_MULTIPLY_F32(tile_f32_left_transposed, tile_f32_right, "col.row")
TESSERA_MULTIPLY_F32(tile_f32_left_transposed, tile_f32_right_transposed, "col.col")

TESSERA_INLINE void tile_store(const tile_f32_sum& tile, float* to, uint stride) {
    asm volatile("wmma.store.d.sync.aligned.row.m16n16k8.shared.f32 [%0], {%1, %2, %3, %4, %5, %6, %7, %8}, %9;"
                 :
                 : "r"(shared_address(to)), "f"(tile.x[0]), "f"(tile.x[1]), "f"(tile.x[2]), "f"(tile.x[3]),
                   "f"(tile.x[4]), "f"(tile.x[5]), "f"(tile.x[6]), "f"(tile.x[7]), "r"(stride)
                 : "memory");
}
#endif
#endif

// The type of the tile tells that it is transposed.
template <class Tile, class Element>
TESSERA_INLINE void tile_load_transposed(Tile& tile, const Element* from, uint stride) {
    tile_load(tile, from, stride);
}
