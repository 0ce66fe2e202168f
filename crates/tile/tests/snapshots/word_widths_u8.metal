[[max_total_threads_per_threadgroup(32)]]
kernel void word_widths_u8(
    device const uchar* x [[buffer(0)]],
    device uchar* y [[buffer(1)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup uchar stage[256];
    const uint i = thread_index;  // memory.rs:57
    y[i] = uchar(uint(x[i]));
    const uint2 x_v = uint2(*(device const uchar2*)(x + i * 2u));
    *(device uchar2*)(y + i * 2u) = uchar2(uint2(x_v.y, x_v.x));
    const uint4 x_v_1 = uint4(*(device const uchar4*)(x + i * 4u));
    *(device uchar4*)(y + (i * 4u + 64u)) = uchar4(uint4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w));
    *(threadgroup uchar4*)(stage + i * 4u) = uchar4(uint4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w));
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const uint4 stage_v = uint4(*(threadgroup const uchar4*)(stage + (i ^ 1u) * 4u));
    *(device uchar4*)(y) = uchar4(uint4(stage_v.x, stage_v.y, stage_v.z, stage_v.w));
    const uint2 x_bits = *(device const uint2*)(x + i * 8u);
    const uint4 x_v_2 = uint4(as_type<uchar4>(x_bits.x));
    const uint4 x_v_3 = uint4(as_type<uchar4>(x_bits.y));
    *(threadgroup uint2*)(stage + i * 8u) = uint2(as_type<uint>(uchar4(uint4(x_v_2.x, x_v_2.y, x_v_2.z, x_v_2.w))), as_type<uint>(uchar4(uint4(x_v_3.x, x_v_3.y, x_v_3.z, x_v_3.w))));
    const uint2 stage_bits = *(threadgroup const uint2*)(stage + i * 8u);
    const uint4 stage_v_1 = uint4(as_type<uchar4>(stage_bits.x));
    const uint4 stage_v_2 = uint4(as_type<uchar4>(stage_bits.y));
    *(device uint2*)(y + i * 8u) = uint2(as_type<uint>(uchar4(uint4(stage_v_1.x, stage_v_1.y, stage_v_1.z, stage_v_1.w))), as_type<uint>(uchar4(uint4(stage_v_2.x, stage_v_2.y, stage_v_2.z, stage_v_2.w))));
    const uint2 x_bits_1 = *(device const uint2*)(x + 8u);
    const uint4 x_v_4 = uint4(as_type<uchar4>(x_bits_1.x));
    y[i] = uchar(x_v_4.z + x_v_4.x);
}
