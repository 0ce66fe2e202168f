[[max_total_threads_per_threadgroup(32)]]
kernel void int_widths(
    device const int* x [[buffer(0)]],
    device int* y [[buffer(1)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup int stage[256];
    const uint i = thread_index;  // memory.rs:79
    y[i] = x[i];
    const int2 x_v = *(device const int2*)(x + i * 2u);
    *(device int2*)(y + i * 2u) = int2(x_v.y, x_v.x);
    const int4 x_v_1 = *(device const int4*)(x + i * 4u);
    *(device int4*)(y + (i * 4u + 64u)) = int4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    *(threadgroup int4*)(stage + i * 4u) = int4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const int4 stage_v = *(threadgroup const int4*)(stage + (i ^ 1u) * 4u);
    *(device int4*)(y) = int4(stage_v.x, stage_v.y, stage_v.z, stage_v.w);
}
