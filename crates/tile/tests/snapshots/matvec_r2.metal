struct matvec_r2_args {
    uint columns;
    uint rows;
};

[[max_total_threads_per_threadgroup(64)]]
kernel void matvec_r2(
    device const uint* codes [[buffer(0)]],
    device const half* scales [[buffer(1)]],
    device const half* biases [[buffer(2)]],
    device const half* x [[buffer(3)]],
    device float* y [[buffer(4)]],
    constant matvec_r2_args& args [[buffer(5)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    const uint first = (group_index.x * 2u + simdgroup_index) * 2u;  // matrices.rs:126
    float sums = 0.0f;  // matrices.rs:127
    float sums_1 = 0.0f;
    for (uint g = lane_index; g < args.columns / 32u; g += 32u) {  // matrices.rs:128
        const uint4 x_bits = *(device const uint4*)(x + g * 32u);  // matrices.rs:129
        const float4 x_v = float4(as_type<half4>(x_bits.xy));
        const float4 x_v_1 = float4(as_type<half4>(x_bits.zw));
        const uint4 x_bits_1 = *(device const uint4*)(x + (g * 32u + 8u));
        const float4 x_v_2 = float4(as_type<half4>(x_bits_1.xy));
        const float4 x_v_3 = float4(as_type<half4>(x_bits_1.zw));
        const uint4 x_bits_2 = *(device const uint4*)(x + (g * 32u + 16u));
        const float4 x_v_4 = float4(as_type<half4>(x_bits_2.xy));
        const float4 x_v_5 = float4(as_type<half4>(x_bits_2.zw));
        const uint4 x_bits_3 = *(device const uint4*)(x + (g * 32u + 24u));
        const float4 x_v_6 = float4(as_type<half4>(x_bits_3.xy));
        const float4 x_v_7 = float4(as_type<half4>(x_bits_3.zw));
        const uint row = min(first, args.rows - 1u);  // matrices.rs:131
        const uint4 codes_v = *(device const uint4*)(codes + (row * (args.columns / 32u) + g) * 4u);  // matrices.rs:132
        float dot_1 = 0.0f;  // matrices.rs:133
        float all_1 = 0.0f;  // matrices.rs:134
        dot_1 = fma(float(codes_v.x & 15u), x_v.x, dot_1);  // matrices.rs:138
        all_1 += x_v.x;  // matrices.rs:139
        dot_1 = fma(float((codes_v.x >> 4u) & 15u), x_v.y, dot_1);  // matrices.rs:138
        all_1 += x_v.y;  // matrices.rs:139
        dot_1 = fma(float((codes_v.x >> 8u) & 15u), x_v.z, dot_1);  // matrices.rs:138
        all_1 += x_v.z;  // matrices.rs:139
        dot_1 = fma(float((codes_v.x >> 12u) & 15u), x_v.w, dot_1);  // matrices.rs:138
        all_1 += x_v.w;  // matrices.rs:139
        dot_1 = fma(float((codes_v.x >> 16u) & 15u), x_v_1.x, dot_1);  // matrices.rs:138
        all_1 += x_v_1.x;  // matrices.rs:139
        dot_1 = fma(float((codes_v.x >> 20u) & 15u), x_v_1.y, dot_1);  // matrices.rs:138
        all_1 += x_v_1.y;  // matrices.rs:139
        dot_1 = fma(float((codes_v.x >> 24u) & 15u), x_v_1.z, dot_1);  // matrices.rs:138
        all_1 += x_v_1.z;  // matrices.rs:139
        dot_1 = fma(float((codes_v.x >> 28u) & 15u), x_v_1.w, dot_1);  // matrices.rs:138
        all_1 += x_v_1.w;  // matrices.rs:139
        dot_1 = fma(float(codes_v.y & 15u), x_v_2.x, dot_1);  // matrices.rs:138
        all_1 += x_v_2.x;  // matrices.rs:139
        dot_1 = fma(float((codes_v.y >> 4u) & 15u), x_v_2.y, dot_1);  // matrices.rs:138
        all_1 += x_v_2.y;  // matrices.rs:139
        dot_1 = fma(float((codes_v.y >> 8u) & 15u), x_v_2.z, dot_1);  // matrices.rs:138
        all_1 += x_v_2.z;  // matrices.rs:139
        dot_1 = fma(float((codes_v.y >> 12u) & 15u), x_v_2.w, dot_1);  // matrices.rs:138
        all_1 += x_v_2.w;  // matrices.rs:139
        dot_1 = fma(float((codes_v.y >> 16u) & 15u), x_v_3.x, dot_1);  // matrices.rs:138
        all_1 += x_v_3.x;  // matrices.rs:139
        dot_1 = fma(float((codes_v.y >> 20u) & 15u), x_v_3.y, dot_1);  // matrices.rs:138
        all_1 += x_v_3.y;  // matrices.rs:139
        dot_1 = fma(float((codes_v.y >> 24u) & 15u), x_v_3.z, dot_1);  // matrices.rs:138
        all_1 += x_v_3.z;  // matrices.rs:139
        dot_1 = fma(float((codes_v.y >> 28u) & 15u), x_v_3.w, dot_1);  // matrices.rs:138
        all_1 += x_v_3.w;  // matrices.rs:139
        dot_1 = fma(float(codes_v.z & 15u), x_v_4.x, dot_1);  // matrices.rs:138
        all_1 += x_v_4.x;  // matrices.rs:139
        dot_1 = fma(float((codes_v.z >> 4u) & 15u), x_v_4.y, dot_1);  // matrices.rs:138
        all_1 += x_v_4.y;  // matrices.rs:139
        dot_1 = fma(float((codes_v.z >> 8u) & 15u), x_v_4.z, dot_1);  // matrices.rs:138
        all_1 += x_v_4.z;  // matrices.rs:139
        dot_1 = fma(float((codes_v.z >> 12u) & 15u), x_v_4.w, dot_1);  // matrices.rs:138
        all_1 += x_v_4.w;  // matrices.rs:139
        dot_1 = fma(float((codes_v.z >> 16u) & 15u), x_v_5.x, dot_1);  // matrices.rs:138
        all_1 += x_v_5.x;  // matrices.rs:139
        dot_1 = fma(float((codes_v.z >> 20u) & 15u), x_v_5.y, dot_1);  // matrices.rs:138
        all_1 += x_v_5.y;  // matrices.rs:139
        dot_1 = fma(float((codes_v.z >> 24u) & 15u), x_v_5.z, dot_1);  // matrices.rs:138
        all_1 += x_v_5.z;  // matrices.rs:139
        dot_1 = fma(float((codes_v.z >> 28u) & 15u), x_v_5.w, dot_1);  // matrices.rs:138
        all_1 += x_v_5.w;  // matrices.rs:139
        dot_1 = fma(float(codes_v.w & 15u), x_v_6.x, dot_1);  // matrices.rs:138
        all_1 += x_v_6.x;  // matrices.rs:139
        dot_1 = fma(float((codes_v.w >> 4u) & 15u), x_v_6.y, dot_1);  // matrices.rs:138
        all_1 += x_v_6.y;  // matrices.rs:139
        dot_1 = fma(float((codes_v.w >> 8u) & 15u), x_v_6.z, dot_1);  // matrices.rs:138
        all_1 += x_v_6.z;  // matrices.rs:139
        dot_1 = fma(float((codes_v.w >> 12u) & 15u), x_v_6.w, dot_1);  // matrices.rs:138
        all_1 += x_v_6.w;  // matrices.rs:139
        dot_1 = fma(float((codes_v.w >> 16u) & 15u), x_v_7.x, dot_1);  // matrices.rs:138
        all_1 += x_v_7.x;  // matrices.rs:139
        dot_1 = fma(float((codes_v.w >> 20u) & 15u), x_v_7.y, dot_1);  // matrices.rs:138
        all_1 += x_v_7.y;  // matrices.rs:139
        dot_1 = fma(float((codes_v.w >> 24u) & 15u), x_v_7.z, dot_1);  // matrices.rs:138
        all_1 += x_v_7.z;  // matrices.rs:139
        dot_1 = fma(float((codes_v.w >> 28u) & 15u), x_v_7.w, dot_1);  // matrices.rs:138
        all_1 += x_v_7.w;  // matrices.rs:139
        const uint at = row * (args.columns / 32u) + g;  // matrices.rs:142
        sums += float(scales[at]) * dot_1 + float(biases[at]) * all_1;  // matrices.rs:143
        const uint row_1 = min(first + 1u, args.rows - 1u);  // matrices.rs:131
        const uint4 codes_v_1 = *(device const uint4*)(codes + (row_1 * (args.columns / 32u) + g) * 4u);  // matrices.rs:132
        float dot_2 = 0.0f;  // matrices.rs:133
        float all_2 = 0.0f;  // matrices.rs:134
        dot_2 = fma(float(codes_v_1.x & 15u), x_v.x, dot_2);  // matrices.rs:138
        all_2 += x_v.x;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.x >> 4u) & 15u), x_v.y, dot_2);  // matrices.rs:138
        all_2 += x_v.y;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.x >> 8u) & 15u), x_v.z, dot_2);  // matrices.rs:138
        all_2 += x_v.z;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.x >> 12u) & 15u), x_v.w, dot_2);  // matrices.rs:138
        all_2 += x_v.w;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.x >> 16u) & 15u), x_v_1.x, dot_2);  // matrices.rs:138
        all_2 += x_v_1.x;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.x >> 20u) & 15u), x_v_1.y, dot_2);  // matrices.rs:138
        all_2 += x_v_1.y;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.x >> 24u) & 15u), x_v_1.z, dot_2);  // matrices.rs:138
        all_2 += x_v_1.z;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.x >> 28u) & 15u), x_v_1.w, dot_2);  // matrices.rs:138
        all_2 += x_v_1.w;  // matrices.rs:139
        dot_2 = fma(float(codes_v_1.y & 15u), x_v_2.x, dot_2);  // matrices.rs:138
        all_2 += x_v_2.x;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.y >> 4u) & 15u), x_v_2.y, dot_2);  // matrices.rs:138
        all_2 += x_v_2.y;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.y >> 8u) & 15u), x_v_2.z, dot_2);  // matrices.rs:138
        all_2 += x_v_2.z;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.y >> 12u) & 15u), x_v_2.w, dot_2);  // matrices.rs:138
        all_2 += x_v_2.w;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.y >> 16u) & 15u), x_v_3.x, dot_2);  // matrices.rs:138
        all_2 += x_v_3.x;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.y >> 20u) & 15u), x_v_3.y, dot_2);  // matrices.rs:138
        all_2 += x_v_3.y;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.y >> 24u) & 15u), x_v_3.z, dot_2);  // matrices.rs:138
        all_2 += x_v_3.z;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.y >> 28u) & 15u), x_v_3.w, dot_2);  // matrices.rs:138
        all_2 += x_v_3.w;  // matrices.rs:139
        dot_2 = fma(float(codes_v_1.z & 15u), x_v_4.x, dot_2);  // matrices.rs:138
        all_2 += x_v_4.x;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.z >> 4u) & 15u), x_v_4.y, dot_2);  // matrices.rs:138
        all_2 += x_v_4.y;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.z >> 8u) & 15u), x_v_4.z, dot_2);  // matrices.rs:138
        all_2 += x_v_4.z;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.z >> 12u) & 15u), x_v_4.w, dot_2);  // matrices.rs:138
        all_2 += x_v_4.w;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.z >> 16u) & 15u), x_v_5.x, dot_2);  // matrices.rs:138
        all_2 += x_v_5.x;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.z >> 20u) & 15u), x_v_5.y, dot_2);  // matrices.rs:138
        all_2 += x_v_5.y;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.z >> 24u) & 15u), x_v_5.z, dot_2);  // matrices.rs:138
        all_2 += x_v_5.z;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.z >> 28u) & 15u), x_v_5.w, dot_2);  // matrices.rs:138
        all_2 += x_v_5.w;  // matrices.rs:139
        dot_2 = fma(float(codes_v_1.w & 15u), x_v_6.x, dot_2);  // matrices.rs:138
        all_2 += x_v_6.x;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.w >> 4u) & 15u), x_v_6.y, dot_2);  // matrices.rs:138
        all_2 += x_v_6.y;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.w >> 8u) & 15u), x_v_6.z, dot_2);  // matrices.rs:138
        all_2 += x_v_6.z;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.w >> 12u) & 15u), x_v_6.w, dot_2);  // matrices.rs:138
        all_2 += x_v_6.w;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.w >> 16u) & 15u), x_v_7.x, dot_2);  // matrices.rs:138
        all_2 += x_v_7.x;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.w >> 20u) & 15u), x_v_7.y, dot_2);  // matrices.rs:138
        all_2 += x_v_7.y;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.w >> 24u) & 15u), x_v_7.z, dot_2);  // matrices.rs:138
        all_2 += x_v_7.z;  // matrices.rs:139
        dot_2 = fma(float((codes_v_1.w >> 28u) & 15u), x_v_7.w, dot_2);  // matrices.rs:138
        all_2 += x_v_7.w;  // matrices.rs:139
        const uint at_1 = row_1 * (args.columns / 32u) + g;  // matrices.rs:142
        sums_1 += float(scales[at_1]) * dot_2 + float(biases[at_1]) * all_2;  // matrices.rs:143
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
