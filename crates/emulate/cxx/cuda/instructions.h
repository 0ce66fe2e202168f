// What the prelude of CUDA texts has in PTX, as plain C++: conversions of half precision, and matrices.
#pragma once
#include "emu_cuda.h"

#define TESSERA_INSTRUCTIONS

struct half {
    unsigned short bits;
};

inline float float_of_half_bits(unsigned bits) {
    return float(__builtin_bit_cast(_Float16, (unsigned short)bits));
}

inline unsigned short half_bits_of_float(float x) {
    return __builtin_bit_cast(unsigned short, _Float16(x));
}

// Staged copies are done when they are waited for, no sooner: who does not wait has nothing.
template <class Word>
inline void emu_stage_words(void* to, const void* from, bool inside) {
    emu_stage({to, inside ? from : nullptr, sizeof(Word)});
}

inline void stage_4(void* to, const void* from, bool inside = true) { emu_stage_words<unsigned>(to, from, inside); }
inline void stage_8(void* to, const void* from, bool inside = true) { emu_stage_words<uint2>(to, from, inside); }
inline void stage_16(void* to, const void* from, bool inside = true) { emu_stage_words<uint4>(to, from, inside); }
inline void stage_commit() { emu_commit(); }

template <class Word>
inline void emu_land(const emu_copy& copy) {
    *(Word*)copy.to = copy.from ? *(const Word*)copy.from : Word();
}

template <int groups>
inline void stage_wait() {
    while (const emu_copy* copy = emu_landing(groups)) {
        if (copy->bytes == 4) emu_land<unsigned>(*copy);
        if (copy->bytes == 8) emu_land<uint2>(*copy);
        if (copy->bytes == 16) emu_land<uint4>(*copy);
    }
}

// Which lane has which element of a matrix is nobody's business: here each has an equal run of a row-major one.
namespace emu_cuda {

inline float element(half x) { return float_of_half_bits(x.bits); }

// To 10 bits of fraction, the nearest, ties away from zero.
inline float element(float x) {
    uint32_t bits = __builtin_bit_cast(uint32_t, x);
    if ((bits & 0x7f800000) != 0x7f800000) bits += 0x1000;
    return __builtin_bit_cast(float, bits & 0xffffe000);
}

inline float same(float x) { return x; }

template <unsigned rows, unsigned columns, bool columns_first, class Element, class Of>
inline void load(float* x, const Element* from, unsigned stride, Of of) {
    constexpr unsigned own = rows * columns / 32;
    emu_meet(emu_matrix_move);
    for (unsigned i = 0; i < own; i++) {
        unsigned at = emu_thread() % 32 * own + i;
        unsigned row = at / columns, column = at % columns;
        x[i] = of(from[columns_first ? column * stride + row : row * stride + column]);
    }
}

// An operand in `parts` matrices, which together are what is summed over.
template <class Element, bool is_left, bool columns_first, unsigned parts>
struct Operand {
    static constexpr unsigned depth = 16 / parts;
    static constexpr unsigned rows = is_left ? 16 : depth, columns = is_left ? depth : 16;
    float x[parts][rows * columns / 32];

    void load_from(const Element* from, unsigned stride) {
        constexpr bool along_rows = is_left != columns_first;
        for (unsigned k = 0; k < parts; k++) {
            const Element* part = from + k * (along_rows ? depth : depth * stride);
            load<rows, columns, columns_first>(x[k], part, stride, [](Element e) { return element(e); });
        }
    }
};

// `parts` tells sums of one kind of operands from those of the other.
template <unsigned parts>
struct Sum {
    float x[8];
};

}  // namespace emu_cuda

typedef emu_cuda::Operand<half, true, false, 1> tile_f16_left;
typedef emu_cuda::Operand<half, true, true, 1> tile_f16_left_transposed;
typedef emu_cuda::Operand<half, false, false, 1> tile_f16_right;
typedef emu_cuda::Operand<half, false, true, 1> tile_f16_right_transposed;
typedef emu_cuda::Sum<1> tile_f16_sum;
typedef emu_cuda::Operand<float, true, false, 2> tile_f32_left;
typedef emu_cuda::Operand<float, true, true, 2> tile_f32_left_transposed;
typedef emu_cuda::Operand<float, false, false, 2> tile_f32_right;
typedef emu_cuda::Operand<float, false, true, 2> tile_f32_right_transposed;
typedef emu_cuda::Sum<2> tile_f32_sum;

template <unsigned parts>
inline void tile_fill(emu_cuda::Sum<parts>& tile, float value) {
    for (float& x : tile.x) x = value;
}

template <class Element, bool is_left, bool columns_first, unsigned parts>
inline void tile_load(emu_cuda::Operand<Element, is_left, columns_first, parts>& tile, const Element* from,
                      unsigned stride) {
    tile.load_from(from, stride);
}

template <unsigned parts>
inline void tile_load(emu_cuda::Sum<parts>& tile, const float* from, unsigned stride) {
    emu_cuda::load<16, 16, false>(tile.x, from, stride, emu_cuda::same);
}

template <unsigned parts>
inline void tile_store(const emu_cuda::Sum<parts>& tile, float* to, unsigned stride) {
    emu_meet(emu_matrix_move);
    for (unsigned i = 0; i < 8; i++) {
        unsigned at = emu_thread() % 32 * 8 + i;
        to[at / 16 * stride + at % 16] = tile.x[i];
    }
}

template <class Element, bool left_columns, bool right_columns, unsigned parts>
inline void tile_multiply(emu_cuda::Sum<parts>& sum, const emu_cuda::Operand<Element, true, left_columns, parts>& left,
                          const emu_cuda::Operand<Element, false, right_columns, parts>& right) {
    for (unsigned k = 0; k < parts; k++) {
        emu_multiply(sum.x, left.x[k], right.x[k], sum.x, 16, 16, 16 / parts);
    }
}
