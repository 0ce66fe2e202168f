[[max_total_threads_per_threadgroup(32)]]
kernel void byte_widths(
    device const char* x [[buffer(0)]],
    device char* y [[buffer(1)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup char stage[256];
    const uint i = thread_index;  // memory.rs:68
    y[i] = char(int(x[i]));
    const int2 x_v = int2(*(device const char2*)(x + i * 2u));
    *(device char2*)(y + i * 2u) = char2(int2(x_v.y, x_v.x));
    const int4 x_v_1 = int4(*(device const char4*)(x + i * 4u));
    *(device char4*)(y + (i * 4u + 64u)) = char4(int4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w));
    *(threadgroup char4*)(stage + i * 4u) = char4(int4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w));
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const int4 stage_v = int4(*(threadgroup const char4*)(stage + (i ^ 1u) * 4u));
    *(device char4*)(y) = char4(int4(stage_v.x, stage_v.y, stage_v.z, stage_v.w));
    const uint2 x_bits = *(device const uint2*)(x + i * 8u);
    const int4 x_v_2 = int4(as_type<char4>(x_bits.x));
    const int4 x_v_3 = int4(as_type<char4>(x_bits.y));
    *(threadgroup uint2*)(stage + i * 8u) = uint2(as_type<uint>(char4(int4(x_v_2.x, x_v_2.y, x_v_2.z, x_v_2.w))), as_type<uint>(char4(int4(x_v_3.x, x_v_3.y, x_v_3.z, x_v_3.w))));
    const uint2 stage_bits = *(threadgroup const uint2*)(stage + i * 8u);
    const int4 stage_v_1 = int4(as_type<char4>(stage_bits.x));
    const int4 stage_v_2 = int4(as_type<char4>(stage_bits.y));
    *(device uint2*)(y + i * 8u) = uint2(as_type<uint>(char4(int4(stage_v_1.x, stage_v_1.y, stage_v_1.z, stage_v_1.w))), as_type<uint>(char4(int4(stage_v_2.x, stage_v_2.y, stage_v_2.z, stage_v_2.w))));
    const uint2 x_bits_1 = *(device const uint2*)(x + 8u);
    const int4 x_v_4 = int4(as_type<char4>(x_bits_1.x));
    y[i] = char(int(uint(x_v_4.z) + uint(x_v_4.x)));
}
