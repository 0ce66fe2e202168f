// CUDA's device library as plain C++20. Only what the printers may write is here.
#pragma once
#include <math.h>
#include <cstdint>

#include "../runtime.h"

#define __global__
#define __device__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// One threadgroup runs at a time. `used` keeps the optimiser from taking an array apart, so that the launch finds it.
#define __shared__ __attribute__((used)) static
#define __constant__ const

struct uint3 { unsigned x, y, z; };
namespace emu_cuda {
inline uint3 thread() { return {emu_thread(), 0, 0}; }
inline uint3 block() { return {emu_group(0), emu_group(1), emu_group(2)}; }
}  // namespace emu_cuda
#define threadIdx (emu_cuda::thread())
#define blockIdx (emu_cuda::block())

// Vectors and storage types.

#define EMU_VECTOR(T, name, bytes)                                                  \
    struct __attribute__((aligned(2 * bytes))) name##2 { T x, y; };                  \
    struct __attribute__((aligned(4 * bytes))) name##4 { T x, y, z, w; };            \
    inline name##2 make_##name##2(T x, T y) { return {x, y}; }                       \
    inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
EMU_VECTOR(float, float, 4)
EMU_VECTOR(int, int, 4)
EMU_VECTOR(unsigned, uint, 4)
EMU_VECTOR(unsigned short, ushort, 2)
EMU_VECTOR(short, short, 2)
EMU_VECTOR(unsigned char, uchar, 1)
EMU_VECTOR(signed char, char, 1)
#undef EMU_VECTOR

inline unsigned __float_as_uint(float x) { return __builtin_bit_cast(unsigned, x); }
inline int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
inline float __uint_as_float(unsigned x) { return __builtin_bit_cast(float, x); }
inline float __int_as_float(int x) { return __builtin_bit_cast(float, x); }

// Mathematics; the rest is the C library's.

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
// As CUDA does: towards zero, saturating, 0 for what is not a number.
inline unsigned __float2uint_rz(float x) { return x > 0 ? x < 4294967296.0f ? unsigned(x) : ~0u : 0; }
inline int __float2int_rz(float x) {
    return x != x ? 0 : x >= 2147483648.0f ? 0x7fffffff : x < -2147483648.0f ? -0x7fffffff - 1 : int(x);
}
template <class T> requires(sizeof(T) == 4 && !__is_floating_point(T))
inline T min(T a, T b) { return a < b ? a : b; }
template <class T> requires(sizeof(T) == 4 && !__is_floating_point(T))
inline T max(T a, T b) { return a > b ? a : b; }

// Meeting.

inline void __syncthreads() { emu_barrier(); }
inline void __syncwarp(unsigned = ~0u) { emu_simdgroup_barrier(); }

namespace emu_cuda {
template <class T>
inline T shuffle(T x, unsigned lane) {
    static_assert(sizeof(T) == 4);
    return __builtin_bit_cast(T, emu_combine(emu_shuffle, __builtin_bit_cast(unsigned, x), lane));
}
}  // namespace emu_cuda

template <class T>
inline T __shfl_sync(unsigned, T x, int lane, int = 32) {
    return emu_cuda::shuffle(x, lane);
}
template <class T>
inline T __shfl_xor_sync(unsigned, T x, int mask, int = 32) {
    return emu_cuda::shuffle(x, emu_thread() % 32 ^ unsigned(mask));
}
template <class T>
inline T __shfl_up_sync(unsigned, T x, unsigned by, int = 32) {
    unsigned lane = emu_thread() % 32;
    return emu_cuda::shuffle(x, lane < by ? lane : lane - by);
}
template <class T>
inline T __shfl_down_sync(unsigned, T x, unsigned by, int = 32) {
    unsigned lane = emu_thread() % 32;
    return emu_cuda::shuffle(x, lane + by < 32 ? lane + by : lane);
}
inline unsigned __ballot_sync(unsigned, int x) {
    return emu_combine(emu_ballot, x != 0, 0);
}

// Atomic operations.

inline unsigned atomicAdd(unsigned* at, unsigned value) { return __atomic_fetch_add(at, value, __ATOMIC_RELAXED); }
inline unsigned atomicMax(unsigned* at, unsigned value) { return __atomic_fetch_max(at, value, __ATOMIC_RELAXED); }
inline unsigned atomicMin(unsigned* at, unsigned value) { return __atomic_fetch_min(at, value, __ATOMIC_RELAXED); }
inline unsigned atomicOr(unsigned* at, unsigned value) { return __atomic_fetch_or(at, value, __ATOMIC_RELAXED); }
