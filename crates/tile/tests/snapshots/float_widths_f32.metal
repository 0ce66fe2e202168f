[[max_total_threads_per_threadgroup(32)]]
kernel void float_widths_f32(
    device const float* x [[buffer(0)]],
    device float* y [[buffer(1)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup float stage[256];
    const uint i = thread_index;  // memory.rs:44
    y[i] = x[i];
    const float2 x_v = *(device const float2*)(x + i * 2u);
    *(device float2*)(y + i * 2u) = float2(x_v.y, x_v.x);
    const float4 x_v_1 = *(device const float4*)(x + i * 4u);
    *(device float4*)(y + (i * 4u + 64u)) = float4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    *(threadgroup float4*)(stage + i * 4u) = float4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const float4 stage_v = *(threadgroup const float4*)(stage + (i ^ 1u) * 4u);
    *(device float4*)(y) = float4(stage_v.x, stage_v.y, stage_v.z, stage_v.w);
}
