struct matvec_r2_args {
    uint columns;
    uint rows;
};

extern "C" __global__ void __launch_bounds__(64) matvec_r2(
    const uint* __restrict__ codes,
    const half* __restrict__ scales,
    const half* __restrict__ biases,
    const half* __restrict__ x,
    float* y,
    matvec_r2_args args)
{
    const uint3 group_index = blockIdx;
    const uint lane_index = threadIdx.x % 32u;
    const uint simdgroup_index = threadIdx.x / 32u;
    const uint first = (group_index.x * 2u + simdgroup_index) * 2u;  // matrices.rs:126
    float sums = 0.0f;  // matrices.rs:127
    float sums_1 = 0.0f;
    for (uint g = lane_index; g < args.columns / 32u; g += 32u) {  // matrices.rs:128
        const uint4 x_bits = *(const uint4*)(x + g * 32u);  // matrices.rs:129
        const float4 x_v = widen_f16x4(make_uint2(x_bits.x, x_bits.y));
        const float4 x_v_1 = widen_f16x4(make_uint2(x_bits.z, x_bits.w));
        const uint4 x_bits_1 = *(const uint4*)(x + (g * 32u + 8u));
        const float4 x_v_2 = widen_f16x4(make_uint2(x_bits_1.x, x_bits_1.y));
        const float4 x_v_3 = widen_f16x4(make_uint2(x_bits_1.z, x_bits_1.w));
        const uint4 x_bits_2 = *(const uint4*)(x + (g * 32u + 16u));
        const float4 x_v_4 = widen_f16x4(make_uint2(x_bits_2.x, x_bits_2.y));
        const float4 x_v_5 = widen_f16x4(make_uint2(x_bits_2.z, x_bits_2.w));
        const uint4 x_bits_3 = *(const uint4*)(x + (g * 32u + 24u));
        const float4 x_v_6 = widen_f16x4(make_uint2(x_bits_3.x, x_bits_3.y));
        const float4 x_v_7 = widen_f16x4(make_uint2(x_bits_3.z, x_bits_3.w));
        const uint row = min(first, args.rows - 1u);  // matrices.rs:131
        const uint4 codes_v = *(const uint4*)(codes + (row * (args.columns / 32u) + g) * 4u);  // matrices.rs:132
        float dot_1 = 0.0f;  // matrices.rs:133
        float all_1 = 0.0f;  // matrices.rs:134
        dot_1 = fmaf(float(codes_v.x & 15u), x_v.x, dot_1);  // matrices.rs:138
        all_1 += x_v.x;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.x >> 4u) & 15u), x_v.y, dot_1);  // matrices.rs:138
        all_1 += x_v.y;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.x >> 8u) & 15u), x_v.z, dot_1);  // matrices.rs:138
        all_1 += x_v.z;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.x >> 12u) & 15u), x_v.w, dot_1);  // matrices.rs:138
        all_1 += x_v.w;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.x >> 16u) & 15u), x_v_1.x, dot_1);  // matrices.rs:138
        all_1 += x_v_1.x;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.x >> 20u) & 15u), x_v_1.y, dot_1);  // matrices.rs:138
        all_1 += x_v_1.y;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.x >> 24u) & 15u), x_v_1.z, dot_1);  // matrices.rs:138
        all_1 += x_v_1.z;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.x >> 28u) & 15u), x_v_1.w, dot_1);  // matrices.rs:138
        all_1 += x_v_1.w;  // matrices.rs:139
        dot_1 = fmaf(float(codes_v.y & 15u), x_v_2.x, dot_1);  // matrices.rs:138
        all_1 += x_v_2.x;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.y >> 4u) & 15u), x_v_2.y, dot_1);  // matrices.rs:138
        all_1 += x_v_2.y;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.y >> 8u) & 15u), x_v_2.z, dot_1);  // matrices.rs:138
        all_1 += x_v_2.z;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.y >> 12u) & 15u), x_v_2.w, dot_1);  // matrices.rs:138
        all_1 += x_v_2.w;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.y >> 16u) & 15u), x_v_3.x, dot_1);  // matrices.rs:138
        all_1 += x_v_3.x;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.y >> 20u) & 15u), x_v_3.y, dot_1);  // matrices.rs:138
        all_1 += x_v_3.y;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.y >> 24u) & 15u), x_v_3.z, dot_1);  // matrices.rs:138
        all_1 += x_v_3.z;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.y >> 28u) & 15u), x_v_3.w, dot_1);  // matrices.rs:138
        all_1 += x_v_3.w;  // matrices.rs:139
        dot_1 = fmaf(float(codes_v.z & 15u), x_v_4.x, dot_1);  // matrices.rs:138
        all_1 += x_v_4.x;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.z >> 4u) & 15u), x_v_4.y, dot_1);  // matrices.rs:138
        all_1 += x_v_4.y;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.z >> 8u) & 15u), x_v_4.z, dot_1);  // matrices.rs:138
        all_1 += x_v_4.z;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.z >> 12u) & 15u), x_v_4.w, dot_1);  // matrices.rs:138
        all_1 += x_v_4.w;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.z >> 16u) & 15u), x_v_5.x, dot_1);  // matrices.rs:138
        all_1 += x_v_5.x;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.z >> 20u) & 15u), x_v_5.y, dot_1);  // matrices.rs:138
        all_1 += x_v_5.y;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.z >> 24u) & 15u), x_v_5.z, dot_1);  // matrices.rs:138
        all_1 += x_v_5.z;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.z >> 28u) & 15u), x_v_5.w, dot_1);  // matrices.rs:138
        all_1 += x_v_5.w;  // matrices.rs:139
        dot_1 = fmaf(float(codes_v.w & 15u), x_v_6.x, dot_1);  // matrices.rs:138
        all_1 += x_v_6.x;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.w >> 4u) & 15u), x_v_6.y, dot_1);  // matrices.rs:138
        all_1 += x_v_6.y;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.w >> 8u) & 15u), x_v_6.z, dot_1);  // matrices.rs:138
        all_1 += x_v_6.z;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.w >> 12u) & 15u), x_v_6.w, dot_1);  // matrices.rs:138
        all_1 += x_v_6.w;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.w >> 16u) & 15u), x_v_7.x, dot_1);  // matrices.rs:138
        all_1 += x_v_7.x;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.w >> 20u) & 15u), x_v_7.y, dot_1);  // matrices.rs:138
        all_1 += x_v_7.y;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.w >> 24u) & 15u), x_v_7.z, dot_1);  // matrices.rs:138
        all_1 += x_v_7.z;  // matrices.rs:139
        dot_1 = fmaf(float((codes_v.w >> 28u) & 15u), x_v_7.w, dot_1);  // matrices.rs:138
        all_1 += x_v_7.w;  // matrices.rs:139
        const uint at = row * (args.columns / 32u) + g;  // matrices.rs:142
        sums += float_of_half(scales[at]) * dot_1 + float_of_half(biases[at]) * all_1;  // matrices.rs:143
        const uint row_1 = min(first + 1u, args.rows - 1u);  // matrices.rs:131
        const uint4 codes_v_1 = *(const uint4*)(codes + (row_1 * (args.columns / 32u) + g) * 4u);  // matrices.rs:132
        float dot_2 = 0.0f;  // matrices.rs:133
        float all_2 = 0.0f;  // matrices.rs:134
        dot_2 = fmaf(float(codes_v_1.x & 15u), x_v.x, dot_2);  // matrices.rs:138
        all_2 += x_v.x;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.x >> 4u) & 15u), x_v.y, dot_2);  // matrices.rs:138
        all_2 += x_v.y;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.x >> 8u) & 15u), x_v.z, dot_2);  // matrices.rs:138
        all_2 += x_v.z;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.x >> 12u) & 15u), x_v.w, dot_2);  // matrices.rs:138
        all_2 += x_v.w;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.x >> 16u) & 15u), x_v_1.x, dot_2);  // matrices.rs:138
        all_2 += x_v_1.x;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.x >> 20u) & 15u), x_v_1.y, dot_2);  // matrices.rs:138
        all_2 += x_v_1.y;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.x >> 24u) & 15u), x_v_1.z, dot_2);  // matrices.rs:138
        all_2 += x_v_1.z;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.x >> 28u) & 15u), x_v_1.w, dot_2);  // matrices.rs:138
        all_2 += x_v_1.w;  // matrices.rs:139
        dot_2 = fmaf(float(codes_v_1.y & 15u), x_v_2.x, dot_2);  // matrices.rs:138
        all_2 += x_v_2.x;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.y >> 4u) & 15u), x_v_2.y, dot_2);  // matrices.rs:138
        all_2 += x_v_2.y;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.y >> 8u) & 15u), x_v_2.z, dot_2);  // matrices.rs:138
        all_2 += x_v_2.z;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.y >> 12u) & 15u), x_v_2.w, dot_2);  // matrices.rs:138
        all_2 += x_v_2.w;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.y >> 16u) & 15u), x_v_3.x, dot_2);  // matrices.rs:138
        all_2 += x_v_3.x;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.y >> 20u) & 15u), x_v_3.y, dot_2);  // matrices.rs:138
        all_2 += x_v_3.y;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.y >> 24u) & 15u), x_v_3.z, dot_2);  // matrices.rs:138
        all_2 += x_v_3.z;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.y >> 28u) & 15u), x_v_3.w, dot_2);  // matrices.rs:138
        all_2 += x_v_3.w;  // matrices.rs:139
        dot_2 = fmaf(float(codes_v_1.z & 15u), x_v_4.x, dot_2);  // matrices.rs:138
        all_2 += x_v_4.x;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.z >> 4u) & 15u), x_v_4.y, dot_2);  // matrices.rs:138
        all_2 += x_v_4.y;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.z >> 8u) & 15u), x_v_4.z, dot_2);  // matrices.rs:138
        all_2 += x_v_4.z;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.z >> 12u) & 15u), x_v_4.w, dot_2);  // matrices.rs:138
        all_2 += x_v_4.w;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.z >> 16u) & 15u), x_v_5.x, dot_2);  // matrices.rs:138
        all_2 += x_v_5.x;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.z >> 20u) & 15u), x_v_5.y, dot_2);  // matrices.rs:138
        all_2 += x_v_5.y;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.z >> 24u) & 15u), x_v_5.z, dot_2);  // matrices.rs:138
        all_2 += x_v_5.z;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.z >> 28u) & 15u), x_v_5.w, dot_2);  // matrices.rs:138
        all_2 += x_v_5.w;  // matrices.rs:139
        dot_2 = fmaf(float(codes_v_1.w & 15u), x_v_6.x, dot_2);  // matrices.rs:138
        all_2 += x_v_6.x;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.w >> 4u) & 15u), x_v_6.y, dot_2);  // matrices.rs:138
        all_2 += x_v_6.y;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.w >> 8u) & 15u), x_v_6.z, dot_2);  // matrices.rs:138
        all_2 += x_v_6.z;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.w >> 12u) & 15u), x_v_6.w, dot_2);  // matrices.rs:138
        all_2 += x_v_6.w;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.w >> 16u) & 15u), x_v_7.x, dot_2);  // matrices.rs:138
        all_2 += x_v_7.x;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.w >> 20u) & 15u), x_v_7.y, dot_2);  // matrices.rs:138
        all_2 += x_v_7.y;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.w >> 24u) & 15u), x_v_7.z, dot_2);  // matrices.rs:138
        all_2 += x_v_7.z;  // matrices.rs:139
        dot_2 = fmaf(float((codes_v_1.w >> 28u) & 15u), x_v_7.w, dot_2);  // matrices.rs:138
        all_2 += x_v_7.w;  // matrices.rs:139
        const uint at_1 = row_1 * (args.columns / 32u) + g;  // matrices.rs:142
        sums_1 += float_of_half(scales[at_1]) * dot_2 + float_of_half(biases[at_1]) * all_2;  // matrices.rs:143
    }
    const float sum = sum_of_lanes(sums);  // matrices.rs:147
    if (lane_index == 0u && first < args.rows) {  // matrices.rs:148
        y[first] = sum;  // matrices.rs:149
    }
    const float sum_1 = sum_of_lanes(sums_1);  // matrices.rs:147
    if (lane_index == 0u && first + 1u < args.rows) {  // matrices.rs:148
        y[first + 1u] = sum_1;  // matrices.rs:149
    }
}
