// Matrix fragments. Which lane has which element is nobody's business: here each has an equal run of a row-major matrix.
#pragma once
#include "emu_cuda.h"

namespace nvcuda::wmma {

struct matrix_a;
struct matrix_b;
struct accumulator;
struct row_major;
struct col_major;
enum layout_t { mem_row_major, mem_col_major };
namespace precision {
struct tf32;
}

// To 10 bits of fraction, the nearest, ties away from zero.
inline float __float_to_tf32(float x) {
    uint32_t bits = __builtin_bit_cast(uint32_t, x);
    if ((bits & 0x7f800000) != 0x7f800000) bits += 0x1000;
    return __builtin_bit_cast(float, bits & 0xffffe000);
}

namespace emu_detail {
// What of a float a tensor core sees, rounded or not.
inline float seen(float x) { return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, x) & 0xffffe000); }

template <class T>
struct Stored {
    typedef T type;
};
template <>
struct Stored<precision::tf32> {
    typedef float type;
};
template <class Use, int M, int N, int K>
struct Shape;
template <int M, int N, int K>
struct Shape<matrix_a, M, N, K> {
    static constexpr unsigned rows = M, columns = K;
};
template <int M, int N, int K>
struct Shape<matrix_b, M, N, K> {
    static constexpr unsigned rows = K, columns = N;
};
template <int M, int N, int K>
struct Shape<accumulator, M, N, K> {
    static constexpr unsigned rows = M, columns = N;
};
}  // namespace emu_detail

template <class Use, int M, int N, int K, class T, class Layout = void>
struct fragment {
    typedef emu_detail::Shape<Use, M, N, K> shape;
    typedef typename emu_detail::Stored<T>::type stored;
    static constexpr unsigned num_elements = shape::rows * shape::columns / 32;
    float x[num_elements];
};

template <class Use, int M, int N, int K, class T, class Layout>
inline void fill_fragment(fragment<Use, M, N, K, T, Layout>& to, float value) {
    for (float& x : to.x) x = value;
}

template <class Use, int M, int N, int K, class T, class Layout>
inline void load_matrix_sync(fragment<Use, M, N, K, T, Layout>& to,
                             const typename fragment<Use, M, N, K, T, Layout>::stored* from, unsigned stride) {
    typedef fragment<Use, M, N, K, T, Layout> F;
    static_assert(!__is_same(Use, accumulator), "a sum is filled, never loaded");
    constexpr bool columns_first = __is_same(Layout, col_major);
    emu_meet(emu_matrix_move);
    for (unsigned i = 0; i < F::num_elements; i++) {
        unsigned at = emu_thread() % 32 * F::num_elements + i;
        unsigned row = at / F::shape::columns, column = at % F::shape::columns;
        to.x[i] = float(from[columns_first ? column * stride + row : row * stride + column]);
    }
}

template <int M, int N, int K>
inline void store_matrix_sync(float* to, const fragment<accumulator, M, N, K, float>& from, unsigned stride,
                              layout_t layout) {
    typedef fragment<accumulator, M, N, K, float> F;
    emu_meet(emu_matrix_move);
    for (unsigned i = 0; i < F::num_elements; i++) {
        unsigned at = emu_thread() % 32 * F::num_elements + i;
        unsigned row = at / F::shape::columns, column = at % F::shape::columns;
        to[layout == mem_col_major ? column * stride + row : row * stride + column] = from.x[i];
    }
}

template <int M, int N, int K, class L, class R, class LeftLayout, class RightLayout>
inline void mma_sync(fragment<accumulator, M, N, K, float>& sum, const fragment<matrix_a, M, N, K, L, LeftLayout>& left,
                     const fragment<matrix_b, M, N, K, R, RightLayout>& right,
                     const fragment<accumulator, M, N, K, float>& addend) {
    static_assert(__is_same(L, R), "a tensor core multiplies equals");
    if constexpr (__is_same(L, precision::tf32)) {
        auto a = left;
        auto b = right;
        for (float& x : a.x) x = emu_detail::seen(x);
        for (float& x : b.x) x = emu_detail::seen(x);
        emu_multiply(sum.x, a.x, b.x, addend.x, M, N, K);
    } else {
        emu_multiply(sum.x, left.x, right.x, addend.x, M, N, K);
    }
}

}  // namespace nvcuda::wmma
