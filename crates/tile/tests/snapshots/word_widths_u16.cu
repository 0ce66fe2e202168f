extern "C" __global__ void __launch_bounds__(32) word_widths_u16(
    const ushort* __restrict__ x,
    ushort* y)
{
    const uint thread_index = threadIdx.x;
    __shared__ __align__(32) ushort stage[256];
    const uint i = thread_index;  // memory.rs:57
    y[i] = ushort(uint(x[i]));
    const uint2 x_v = widen_u16x2(*(const uint*)(x + i * 2u));
    *(uint*)(y + i * 2u) = narrow_u16x2(x_v.y, x_v.x);
    const uint4 x_v_1 = widen_u16x4(*(const uint2*)(x + i * 4u));
    *(uint2*)(y + (i * 4u + 64u)) = narrow_u16x4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    *(uint2*)(stage + i * 4u) = narrow_u16x4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    __syncthreads();
    const uint4 stage_v = widen_u16x4(*(const uint2*)(stage + (i ^ 1u) * 4u));
    *(uint2*)(y) = narrow_u16x4(stage_v.x, stage_v.y, stage_v.z, stage_v.w);
    const uint4 x_bits = *(const uint4*)(x + i * 8u);
    const uint4 x_v_2 = widen_u16x4(make_uint2(x_bits.x, x_bits.y));
    const uint4 x_v_3 = widen_u16x4(make_uint2(x_bits.z, x_bits.w));
    *(uint4*)(stage + i * 8u) = join_uint2(narrow_u16x4(x_v_2.x, x_v_2.y, x_v_2.z, x_v_2.w), narrow_u16x4(x_v_3.x, x_v_3.y, x_v_3.z, x_v_3.w));
    const uint4 stage_bits = *(const uint4*)(stage + i * 8u);
    const uint4 stage_v_1 = widen_u16x4(make_uint2(stage_bits.x, stage_bits.y));
    const uint4 stage_v_2 = widen_u16x4(make_uint2(stage_bits.z, stage_bits.w));
    *(uint4*)(y + i * 8u) = join_uint2(narrow_u16x4(stage_v_1.x, stage_v_1.y, stage_v_1.z, stage_v_1.w), narrow_u16x4(stage_v_2.x, stage_v_2.y, stage_v_2.z, stage_v_2.w));
    const uint4 x_bits_1 = *(const uint4*)(x + 8u);
    const uint4 x_v_4 = widen_u16x4(make_uint2(x_bits_1.x, x_bits_1.y));
    y[i] = ushort(x_v_4.z + x_v_4.x);
}
