[[max_total_threads_per_threadgroup(32)]]
kernel void word_widths_u32(
    device const uint* x [[buffer(0)]],
    device uint* y [[buffer(1)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup uint stage[256];
    const uint i = thread_index;  // memory.rs:57
    y[i] = x[i];
    const uint2 x_v = *(device const uint2*)(x + i * 2u);
    *(device uint2*)(y + i * 2u) = uint2(x_v.y, x_v.x);
    const uint4 x_v_1 = *(device const uint4*)(x + i * 4u);
    *(device uint4*)(y + (i * 4u + 64u)) = uint4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    *(threadgroup uint4*)(stage + i * 4u) = uint4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const uint4 stage_v = *(threadgroup const uint4*)(stage + (i ^ 1u) * 4u);
    *(device uint4*)(y) = uint4(stage_v.x, stage_v.y, stage_v.z, stage_v.w);
}
