[[max_total_threads_per_threadgroup(32)]]
kernel void float_widths_bf16(
    device const ushort* x [[buffer(0)]],
    device ushort* y [[buffer(1)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup ushort stage[256];
    const uint i = thread_index;  // memory.rs:44
    y[i] = bfloat_of_float(float_of_bfloat(x[i]));
    const float2 x_v = as_type<float2>(uint2(*(device const ushort2*)(x + i * 2u)) << 16);
    *(device ushort2*)(y + i * 2u) = ushort2(bfloat_of_float(x_v.y), bfloat_of_float(x_v.x));
    const float4 x_v_1 = as_type<float4>(uint4(*(device const ushort4*)(x + i * 4u)) << 16);
    *(device ushort4*)(y + (i * 4u + 64u)) = ushort4(bfloat_of_float(x_v_1.x), bfloat_of_float(x_v_1.y), bfloat_of_float(x_v_1.z), bfloat_of_float(x_v_1.w));
    *(threadgroup ushort4*)(stage + i * 4u) = ushort4(bfloat_of_float(x_v_1.x), bfloat_of_float(x_v_1.y), bfloat_of_float(x_v_1.z), bfloat_of_float(x_v_1.w));
    threadgroup_barrier(mem_flags::mem_threadgroup);
    const float4 stage_v = as_type<float4>(uint4(*(threadgroup const ushort4*)(stage + (i ^ 1u) * 4u)) << 16);
    *(device ushort4*)(y) = ushort4(bfloat_of_float(stage_v.x), bfloat_of_float(stage_v.y), bfloat_of_float(stage_v.z), bfloat_of_float(stage_v.w));
    const uint4 x_bits = *(device const uint4*)(x + i * 8u);
    const float4 x_v_2 = as_type<float4>(uint4(as_type<ushort4>(x_bits.xy)) << 16);
    const float4 x_v_3 = as_type<float4>(uint4(as_type<ushort4>(x_bits.zw)) << 16);
    *(threadgroup uint4*)(stage + i * 8u) = uint4(as_type<uint2>(ushort4(bfloat_of_float(x_v_2.x), bfloat_of_float(x_v_2.y), bfloat_of_float(x_v_2.z), bfloat_of_float(x_v_2.w))), as_type<uint2>(ushort4(bfloat_of_float(x_v_3.x), bfloat_of_float(x_v_3.y), bfloat_of_float(x_v_3.z), bfloat_of_float(x_v_3.w))));
    const uint4 stage_bits = *(threadgroup const uint4*)(stage + i * 8u);
    const float4 stage_v_1 = as_type<float4>(uint4(as_type<ushort4>(stage_bits.xy)) << 16);
    const float4 stage_v_2 = as_type<float4>(uint4(as_type<ushort4>(stage_bits.zw)) << 16);
    *(device uint4*)(y + i * 8u) = uint4(as_type<uint2>(ushort4(bfloat_of_float(stage_v_1.x), bfloat_of_float(stage_v_1.y), bfloat_of_float(stage_v_1.z), bfloat_of_float(stage_v_1.w))), as_type<uint2>(ushort4(bfloat_of_float(stage_v_2.x), bfloat_of_float(stage_v_2.y), bfloat_of_float(stage_v_2.z), bfloat_of_float(stage_v_2.w))));
    const uint4 x_bits_1 = *(device const uint4*)(x + 8u);
    const float4 x_v_4 = as_type<float4>(uint4(as_type<ushort4>(x_bits_1.xy)) << 16);
    y[i] = bfloat_of_float(x_v_4.z + x_v_4.x);
}
