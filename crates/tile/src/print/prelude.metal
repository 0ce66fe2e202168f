#include <metal_stdlib>
using namespace metal;

// Each operation is rounded by itself, as written.
#pragma METAL fp math_mode(safe)
#pragma METAL fp contract(off)
#pragma clang fp contract(off)

// The upper half of a float.
inline float float_of_bfloat(ushort bits) {
    return as_type<float>(uint(bits) << 16);
}

// To the nearest, ties to even; what is not a number stays so.
inline ushort bfloat_of_float(float x) {
    const uint bits = as_type<uint>(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return ushort((bits >> 16) | 0x40u);
    }
    return ushort((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

inline float float_of_half_bits(uint bits) {
    return float(as_type<half>(ushort(bits)));
}

// To the nearest of the type's numbers in the direction of zero; 0 of what is not a number.
inline int saturating_int(float x) {
    if (x >= 2147483648.0f) {
        return 0x7fffffff;
    }
    if (x <= -2147483648.0f) {
        return int(0x80000000u);
    }
    return x == x ? int(x) : 0;
}

inline uint saturating_uint(float x) {
    if (x >= 4294967296.0f) {
        return 0xffffffffu;
    }
    return x > 0.0f ? uint(x) : 0u;
}

inline int wrapping_abs(int x) {
    return x < 0 ? int(0u - uint(x)) : x;
}

// Sums by halving distances: every lane gets the same bits.
inline float sum_of_lanes(float x) {
    x = x + simd_shuffle_xor(x, 16);
    x = x + simd_shuffle_xor(x, 8);
    x = x + simd_shuffle_xor(x, 4);
    x = x + simd_shuffle_xor(x, 2);
    return x + simd_shuffle_xor(x, 1);
}

// Whole numbers have no order to keep.
inline uint sum_of_lanes(uint x) {
    return simd_sum(x);
}

inline int sum_of_lanes(int x) {
    return int(simd_sum(uint(x)));
}

// Sum of the lanes before this one: over doubling distances, then moved up by a lane.
inline float sum_of_lanes_before(float x, uint lane) {
    float before = simd_shuffle_up(x, 1);
    x = lane >= 1u ? x + before : x;
    before = simd_shuffle_up(x, 2);
    x = lane >= 2u ? x + before : x;
    before = simd_shuffle_up(x, 4);
    x = lane >= 4u ? x + before : x;
    before = simd_shuffle_up(x, 8);
    x = lane >= 8u ? x + before : x;
    before = simd_shuffle_up(x, 16);
    x = lane >= 16u ? x + before : x;
    before = simd_shuffle_up(x, 1);
    return lane >= 1u ? before : 0.0f;
}

inline uint ballot_of_lanes(bool x) {
    return uint(simd_vote::vote_t(simd_ballot(x)));
}

// Staged copies. Metal lets nobody outside have copies on their way, so these are done at once.
inline void stage_4(threadgroup void* to, device const void* from) {
    *(threadgroup uint*)to = *(device const uint*)from;
}

inline void stage_8(threadgroup void* to, device const void* from) {
    *(threadgroup uint2*)to = *(device const uint2*)from;
}

inline void stage_16(threadgroup void* to, device const void* from) {
    *(threadgroup uint4*)to = *(device const uint4*)from;
}

// Zeros where it is not inside.
inline void stage_4(threadgroup void* to, device const void* from, bool inside) {
    *(threadgroup uint*)to = inside ? *(device const uint*)from : 0u;
}

inline void stage_8(threadgroup void* to, device const void* from, bool inside) {
    *(threadgroup uint2*)to = inside ? *(device const uint2*)from : uint2(0u);
}

inline void stage_16(threadgroup void* to, device const void* from, bool inside) {
    *(threadgroup uint4*)to = inside ? *(device const uint4*)from : uint4(0u);
}

// Matrices of 16 x 16, as two by two of Metal's.
struct tile_f32 {
    simdgroup_float8x8 part00, part01, part10, part11;
};

struct tile_f16 {
    simdgroup_half8x8 part00, part01, part10, part11;
};

inline void tile_fill(thread tile_f32& tile, float x) {
    tile.part00 = make_filled_simdgroup_matrix<float, 8, 8>(x);
    tile.part01 = make_filled_simdgroup_matrix<float, 8, 8>(x);
    tile.part10 = make_filled_simdgroup_matrix<float, 8, 8>(x);
    tile.part11 = make_filled_simdgroup_matrix<float, 8, 8>(x);
}

inline void tile_load(thread tile_f32& tile, threadgroup const float* from, uint stride) {
    simdgroup_load(tile.part00, from, stride);
    simdgroup_load(tile.part01, from + 8, stride);
    simdgroup_load(tile.part10, from + 8 * stride, stride);
    simdgroup_load(tile.part11, from + 8 * stride + 8, stride);
}

inline void tile_load(thread tile_f16& tile, threadgroup const half* from, uint stride) {
    simdgroup_load(tile.part00, from, stride);
    simdgroup_load(tile.part01, from + 8, stride);
    simdgroup_load(tile.part10, from + 8 * stride, stride);
    simdgroup_load(tile.part11, from + 8 * stride + 8, stride);
}

inline void tile_load_transposed(thread tile_f32& tile, threadgroup const float* from, uint stride) {
    simdgroup_load(tile.part00, from, stride, ulong2(0, 0), true);
    simdgroup_load(tile.part01, from + 8 * stride, stride, ulong2(0, 0), true);
    simdgroup_load(tile.part10, from + 8, stride, ulong2(0, 0), true);
    simdgroup_load(tile.part11, from + 8 * stride + 8, stride, ulong2(0, 0), true);
}

inline void tile_load_transposed(thread tile_f16& tile, threadgroup const half* from, uint stride) {
    simdgroup_load(tile.part00, from, stride, ulong2(0, 0), true);
    simdgroup_load(tile.part01, from + 8 * stride, stride, ulong2(0, 0), true);
    simdgroup_load(tile.part10, from + 8, stride, ulong2(0, 0), true);
    simdgroup_load(tile.part11, from + 8 * stride + 8, stride, ulong2(0, 0), true);
}

inline void tile_multiply(thread tile_f32& sum, tile_f32 left, tile_f32 right) {
    simdgroup_multiply_accumulate(sum.part00, left.part00, right.part00, sum.part00);
    simdgroup_multiply_accumulate(sum.part01, left.part00, right.part01, sum.part01);
    simdgroup_multiply_accumulate(sum.part10, left.part10, right.part00, sum.part10);
    simdgroup_multiply_accumulate(sum.part11, left.part10, right.part01, sum.part11);
    simdgroup_multiply_accumulate(sum.part00, left.part01, right.part10, sum.part00);
    simdgroup_multiply_accumulate(sum.part01, left.part01, right.part11, sum.part01);
    simdgroup_multiply_accumulate(sum.part10, left.part11, right.part10, sum.part10);
    simdgroup_multiply_accumulate(sum.part11, left.part11, right.part11, sum.part11);
}

inline void tile_multiply(thread tile_f32& sum, tile_f16 left, tile_f16 right) {
    simdgroup_multiply_accumulate(sum.part00, left.part00, right.part00, sum.part00);
    simdgroup_multiply_accumulate(sum.part01, left.part00, right.part01, sum.part01);
    simdgroup_multiply_accumulate(sum.part10, left.part10, right.part00, sum.part10);
    simdgroup_multiply_accumulate(sum.part11, left.part10, right.part01, sum.part11);
    simdgroup_multiply_accumulate(sum.part00, left.part01, right.part10, sum.part00);
    simdgroup_multiply_accumulate(sum.part01, left.part01, right.part11, sum.part01);
    simdgroup_multiply_accumulate(sum.part10, left.part11, right.part10, sum.part10);
    simdgroup_multiply_accumulate(sum.part11, left.part11, right.part11, sum.part11);
}

inline void tile_store(tile_f32 tile, threadgroup float* to, uint stride) {
    simdgroup_store(tile.part00, to, stride);
    simdgroup_store(tile.part01, to + 8, stride);
    simdgroup_store(tile.part10, to + 8 * stride, stride);
    simdgroup_store(tile.part11, to + 8 * stride + 8, stride);
}

