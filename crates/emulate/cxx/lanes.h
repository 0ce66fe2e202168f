// What the lanes of a simdgroup make of their parts together; whoever comes last does it for all.
#pragma once
#include <cmath>

#include "kernel.h"
#include "runtime.h"

namespace emu {

struct Multiplication {
    float* sum;
    const float* left;
    const float* right;
    const float* addend;
    uint32_t rows, columns, depth;
};

// What a lane brings to an operation, and what it gets.
struct Part {
    uint32_t value;
    uint32_t lane;  // the lane it asks
    const Multiplication* multiplication;
};

inline float as_float(uint32_t bits) { return __builtin_bit_cast(float, bits); }
inline uint32_t as_bits(float value) { return __builtin_bit_cast(uint32_t, value); }

// Halves the distances: 16, 8, 4, 2, 1. The result is every lane's.
template <class F>
inline void reduce(Part* lane, F combine) {
    uint32_t part[LANES];
    for (uint32_t i = 0; i < LANES; i++) part[i] = lane[i].value;
    for (uint32_t distance = LANES / 2; distance; distance /= 2)
        for (uint32_t i = 0; i < distance; i++) part[i] = combine(part[i], part[i + distance]);
    for (uint32_t i = 0; i < LANES; i++) lane[i].value = part[0];
}

template <class F>
inline void reduce_floats(Part* lane, F combine) {
    reduce(lane, [=](uint32_t a, uint32_t b) { return as_bits(combine(as_float(a), as_float(b))); });
}

inline void prefix_floats(Part* lane) {
    float sum = 0;
    for (uint32_t i = 0; i < LANES; i++) {
        float value = as_float(lane[i].value);
        lane[i].value = as_bits(sum);
        sum += value;
    }
}

inline void prefix_ints(Part* lane) {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < LANES; i++) {
        uint32_t value = lane[i].value;
        lane[i].value = sum;
        sum += value;
    }
}

// All ask lanes that there are.
inline void shuffle(Part* lane) {
    uint32_t value[LANES];
    for (uint32_t i = 0; i < LANES; i++) value[i] = lane[i].value;
    for (uint32_t i = 0; i < LANES; i++) lane[i].value = value[lane[i].lane];
}

inline void ballot(Part* lane) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < LANES; i++) bits |= uint32_t(lane[i].value != 0) << i;
    for (uint32_t i = 0; i < LANES; i++) lane[i].value = bits;
}

inline void multiply(Part* lane) {
    const Multiplication m = *lane[0].multiplication;
    constexpr uint32_t MOST = 16 * 16;
    float left[MOST], right[MOST], sum[MOST];
    auto gather = [&](float* to, uint32_t count, auto part) {
        uint32_t share = count / LANES;
        for (uint32_t i = 0; i < count; i++) to[i] = part(*lane[i / share].multiplication)[i % share];
    };
    gather(left, m.rows * m.depth, [](auto& m) { return m.left; });
    gather(right, m.depth * m.columns, [](auto& m) { return m.right; });
    gather(sum, m.rows * m.columns, [](auto& m) { return m.addend; });
    for (uint32_t r = 0; r < m.rows; r++)
        for (uint32_t d = 0; d < m.depth; d++)
            for (uint32_t c = 0; c < m.columns; c++)
                sum[r * m.columns + c] += left[r * m.depth + d] * right[d * m.columns + c];
    uint32_t share = m.rows * m.columns / LANES;
    for (uint32_t i = 0; i < m.rows * m.columns; i++) lane[i / share].multiplication->sum[i % share] = sum[i];
}

inline void combine(emu_operation operation, Part* lane) {
    auto larger = [](auto a, auto b) { return a > b ? a : b; };
    auto smaller = [](auto a, auto b) { return a < b ? a : b; };
    switch (operation) {
        case emu_sum_float: return reduce_floats(lane, [](float a, float b) { return a + b; });
        case emu_max_float: return reduce_floats(lane, [](float a, float b) { return fmaxf(a, b); });
        case emu_min_float: return reduce_floats(lane, [](float a, float b) { return fminf(a, b); });
        case emu_sum_int: return reduce(lane, [](uint32_t a, uint32_t b) { return a + b; });
        case emu_max_uint: return reduce(lane, larger);
        case emu_min_uint: return reduce(lane, smaller);
        case emu_max_int: return reduce(lane, [=](int32_t a, int32_t b) { return larger(a, b); });
        case emu_min_int: return reduce(lane, [=](int32_t a, int32_t b) { return smaller(a, b); });
        case emu_prefix_float: return prefix_floats(lane);
        case emu_prefix_int: return prefix_ints(lane);
        case emu_shuffle: return shuffle(lane);
        case emu_ballot: return ballot(lane);
        case emu_matrix_multiply: return multiply(lane);
        case emu_order:
        case emu_matrix_move: return;
    }
}

}  // namespace emu
