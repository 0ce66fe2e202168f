[[max_total_threads_per_threadgroup(32)]]
kernel void word_widths_u16(
    device const ushort* x [[buffer(0)]],
    device ushort* y [[buffer(1)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup ushort stage[256];
    const uint i = thread_index;  // memory.rs:57
    y[i] = ushort(uint(x[i]));
    const uint2 x_v = uint2(*(device const ushort2*)(x + i * 2u));
    *(device ushort2*)(y + i * 2u) = ushort2(uint2(x_v.y, x_v.x));
    const uint4 x_v_1 = uint4(*(device const ushort4*)(x + i * 4u));
    *(device ushort4*)(y + (i * 4u + 64u)) = ushort4(uint4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w));
    *(threadgroup ushort4*)(stage + i * 4u) = ushort4(uint4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w));
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const uint4 stage_v = uint4(*(threadgroup const ushort4*)(stage + (i ^ 1u) * 4u));
    *(device ushort4*)(y) = ushort4(uint4(stage_v.x, stage_v.y, stage_v.z, stage_v.w));
    const uint4 x_bits = *(device const uint4*)(x + i * 8u);
    const uint4 x_v_2 = uint4(as_type<ushort4>(x_bits.xy));
    const uint4 x_v_3 = uint4(as_type<ushort4>(x_bits.zw));
    *(threadgroup uint4*)(stage + i * 8u) = uint4(as_type<uint2>(ushort4(uint4(x_v_2.x, x_v_2.y, x_v_2.z, x_v_2.w))), as_type<uint2>(ushort4(uint4(x_v_3.x, x_v_3.y, x_v_3.z, x_v_3.w))));
    const uint4 stage_bits = *(threadgroup const uint4*)(stage + i * 8u);
    const uint4 stage_v_1 = uint4(as_type<ushort4>(stage_bits.xy));
    const uint4 stage_v_2 = uint4(as_type<ushort4>(stage_bits.zw));
    *(device uint4*)(y + i * 8u) = uint4(as_type<uint2>(ushort4(uint4(stage_v_1.x, stage_v_1.y, stage_v_1.z, stage_v_1.w))), as_type<uint2>(ushort4(uint4(stage_v_2.x, stage_v_2.y, stage_v_2.z, stage_v_2.w))));
    const uint4 x_bits_1 = *(device const uint4*)(x + 8u);
    const uint4 x_v_4 = uint4(as_type<ushort4>(x_bits_1.xy));
    y[i] = ushort(x_v_4.z + x_v_4.x);
}
