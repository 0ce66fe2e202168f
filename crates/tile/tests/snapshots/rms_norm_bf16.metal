struct rms_norm_bf16_args {
    uint width;
    float epsilon;
};

[[max_total_threads_per_threadgroup(128)]]
kernel void rms_norm_bf16(
    device const float* x [[buffer(0)]],
    device const ushort* weight [[buffer(1)]],
    device float* y [[buffer(2)]],
    constant rms_norm_bf16_args& args [[buffer(3)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup float partial[4];
    const uint row = group_index.x * args.width;  // matrices.rs:78
    float squares = 0.0f;  // matrices.rs:79
    for (uint i = thread_index * 4u; i < args.width; i += 512u) {  // matrices.rs:80
        const float4 x_v = *(device const float4*)(x + (row + i));  // matrices.rs:81
        squares = fma(x_v.x, x_v.x, squares);  // matrices.rs:82
        squares = fma(x_v.y, x_v.y, squares);
        squares = fma(x_v.z, x_v.z, squares);
        squares = fma(x_v.w, x_v.w, squares);
    }
    const float sum = sum_of_lanes(squares);  // matrices.rs:85
    if (lane_index == 0u) {  // matrices.rs:86
        partial[simdgroup_index] = sum;  // matrices.rs:87
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);  // matrices.rs:89
    float total = 0.0f;  // matrices.rs:90
    total += partial[0u];  // matrices.rs:92
    total += partial[1u];
    total += partial[2u];
    total += partial[3u];
    const float scale = precise::rsqrt(total / float(args.width) + args.epsilon);  // matrices.rs:94
    for (uint i_1 = thread_index * 4u; i_1 < args.width; i_1 += 512u) {  // matrices.rs:95
        const float4 x_v_1 = *(device const float4*)(x + (row + i_1));  // matrices.rs:96
        const float4 weight_v = as_type<float4>(uint4(*(device const ushort4*)(weight + i_1)) << 16);  // matrices.rs:97
        *(device float4*)(y + (row + i_1)) = float4(x_v_1.x * scale * weight_v.x, x_v_1.y * scale * weight_v.y, x_v_1.z * scale * weight_v.z, x_v_1.w * scale * weight_v.w);  // matrices.rs:98
    }
}
