[[max_total_threads_per_threadgroup(32)]]
kernel void float_widths_f16(
    device const half* x [[buffer(0)]],
    device half* y [[buffer(1)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup half stage[256];
    const uint i = thread_index;  // memory.rs:44
    y[i] = half(float(x[i]));
    const float2 x_v = float2(*(device const half2*)(x + i * 2u));
    *(device half2*)(y + i * 2u) = half2(float2(x_v.y, x_v.x));
    const float4 x_v_1 = float4(*(device const half4*)(x + i * 4u));
    *(device half4*)(y + (i * 4u + 64u)) = half4(float4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w));
    *(threadgroup half4*)(stage + i * 4u) = half4(float4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w));
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const float4 stage_v = float4(*(threadgroup const half4*)(stage + (i ^ 1u) * 4u));
    *(device half4*)(y) = half4(float4(stage_v.x, stage_v.y, stage_v.z, stage_v.w));
    const uint4 x_bits = *(device const uint4*)(x + i * 8u);
    const float4 x_v_2 = float4(as_type<half4>(x_bits.xy));
    const float4 x_v_3 = float4(as_type<half4>(x_bits.zw));
    *(threadgroup uint4*)(stage + i * 8u) = uint4(as_type<uint2>(half4(float4(x_v_2.x, x_v_2.y, x_v_2.z, x_v_2.w))), as_type<uint2>(half4(float4(x_v_3.x, x_v_3.y, x_v_3.z, x_v_3.w))));
    const uint4 stage_bits = *(threadgroup const uint4*)(stage + i * 8u);
    const float4 stage_v_1 = float4(as_type<half4>(stage_bits.xy));
    const float4 stage_v_2 = float4(as_type<half4>(stage_bits.zw));
    *(device uint4*)(y + i * 8u) = uint4(as_type<uint2>(half4(float4(stage_v_1.x, stage_v_1.y, stage_v_1.z, stage_v_1.w))), as_type<uint2>(half4(float4(stage_v_2.x, stage_v_2.y, stage_v_2.z, stage_v_2.w))));
    const uint4 x_bits_1 = *(device const uint4*)(x + 8u);
    const float4 x_v_4 = float4(as_type<half4>(x_bits_1.xy));
    y[i] = half(x_v_4.z + x_v_4.x);
}
