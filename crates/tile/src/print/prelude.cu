#include <cuda_fp16.h>
#include <mma.h>

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

TESSERA_INLINE float float_of_half_bits(uint bits) {
    return __half2float(__ushort_as_half(ushort(bits)));
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
    return uint(__half_as_ushort(__float2half_rn(a))) | (uint(__half_as_ushort(__float2half_rn(b))) << 16);
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

// Matrices of 16 x 16. Of half precision they are what the device has; of single precision their elements are rounded to
// 11 significant bits (tf32), and they are two matrices of 16 x 8 and 8 x 16.
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 700
typedef nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16, __half, nvcuda::wmma::row_major> tile_f16_left;
typedef nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, 16, 16, 16, __half, nvcuda::wmma::col_major> tile_f16_left_transposed;
typedef nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, __half, nvcuda::wmma::row_major> tile_f16_right;
typedef nvcuda::wmma::fragment<nvcuda::wmma::matrix_b, 16, 16, 16, __half, nvcuda::wmma::col_major> tile_f16_right_transposed;
typedef nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 16, float> tile_f16_sum;

template <class Sum>
TESSERA_INLINE void tile_fill(Sum& tile, float x) {
    nvcuda::wmma::fill_fragment(tile, x);
}

template <class Tile>
TESSERA_INLINE void tile_load(Tile& tile, const __half* from, uint stride) {
    nvcuda::wmma::load_matrix_sync(tile, from, stride);
}

// The type of the tile tells that it is transposed.
template <class Tile, class Element>
TESSERA_INLINE void tile_load_transposed(Tile& tile, const Element* from, uint stride) {
    tile_load(tile, from, stride);
}

template <class Left, class Right>
TESSERA_INLINE void tile_multiply(tile_f16_sum& sum, const Left& left, const Right& right) {
    nvcuda::wmma::mma_sync(sum, left, right, sum);
}

// A sum is read back as it was stored.
TESSERA_INLINE void tile_load(tile_f16_sum& tile, const float* from, uint stride) {
    nvcuda::wmma::load_matrix_sync(tile, from, stride, nvcuda::wmma::mem_row_major);
}

template <class Sum>
TESSERA_INLINE void tile_store(const Sum& tile, float* to, uint stride) {
    nvcuda::wmma::store_matrix_sync(to, tile, stride, nvcuda::wmma::mem_row_major);
}
#endif

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
// What is summed over runs along the rows in memory, or across them.
template <class Use, class Layout, bool along_rows>
struct tile_tf32 {
    nvcuda::wmma::fragment<Use, 16, 16, 8, nvcuda::wmma::precision::tf32, Layout> part[2];
};
typedef tile_tf32<nvcuda::wmma::matrix_a, nvcuda::wmma::row_major, true> tile_f32_left;
typedef tile_tf32<nvcuda::wmma::matrix_a, nvcuda::wmma::col_major, false> tile_f32_left_transposed;
typedef tile_tf32<nvcuda::wmma::matrix_b, nvcuda::wmma::row_major, false> tile_f32_right;
typedef tile_tf32<nvcuda::wmma::matrix_b, nvcuda::wmma::col_major, true> tile_f32_right_transposed;
typedef nvcuda::wmma::fragment<nvcuda::wmma::accumulator, 16, 16, 8, float> tile_f32_sum;

TESSERA_INLINE void tile_load(tile_f32_sum& tile, const float* from, uint stride) {
    nvcuda::wmma::load_matrix_sync(tile, from, stride, nvcuda::wmma::mem_row_major);
}

template <class Use, class Layout, bool along_rows>
TESSERA_INLINE void tile_load(tile_tf32<Use, Layout, along_rows>& tile, const float* from, uint stride) {
    for (int k = 0; k < 2; ++k) {
        // the second half of what is summed over lies 8 elements on, or 8 rows
        nvcuda::wmma::load_matrix_sync(tile.part[k], from + k * (along_rows ? 8u : 8u * stride), stride);
        for (int i = 0; i < tile.part[k].num_elements; ++i) {
            tile.part[k].x[i] = nvcuda::wmma::__float_to_tf32(tile.part[k].x[i]);
        }
    }
}

template <class Left, class Right>
TESSERA_INLINE void tile_multiply(tile_f32_sum& sum, const Left& left, const Right& right) {
    nvcuda::wmma::mma_sync(sum, left.part[0], right.part[0], sum);
    nvcuda::wmma::mma_sync(sum, left.part[1], right.part[1], sum);
}
#endif

