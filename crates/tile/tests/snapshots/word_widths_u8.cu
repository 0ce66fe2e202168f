extern "C" __global__ void __launch_bounds__(32) word_widths_u8(
    const uchar* __restrict__ x,
    uchar* y)
{
    const uint thread_index = threadIdx.x;
    __shared__ __align__(32) uchar stage[256];
    const uint i = thread_index;  // memory.rs:57
    y[i] = uchar(uint(x[i]));
    const uint2 x_v = widen_u8x2(*(const ushort*)(x + i * 2u));
    *(ushort*)(y + i * 2u) = narrow_u8x2(x_v.y, x_v.x);
    const uint4 x_v_1 = widen_u8x4(*(const uint*)(x + i * 4u));
    *(uint*)(y + (i * 4u + 64u)) = narrow_u8x4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    *(uint*)(stage + i * 4u) = narrow_u8x4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    __syncthreads();
    const uint4 stage_v = widen_u8x4(*(const uint*)(stage + (i ^ 1u) * 4u));
    *(uint*)(y) = narrow_u8x4(stage_v.x, stage_v.y, stage_v.z, stage_v.w);
    const uint2 x_bits = *(const uint2*)(x + i * 8u);
    const uint4 x_v_2 = widen_u8x4(x_bits.x);
    const uint4 x_v_3 = widen_u8x4(x_bits.y);
    *(uint2*)(stage + i * 8u) = make_uint2(narrow_u8x4(x_v_2.x, x_v_2.y, x_v_2.z, x_v_2.w), narrow_u8x4(x_v_3.x, x_v_3.y, x_v_3.z, x_v_3.w));
    const uint2 stage_bits = *(const uint2*)(stage + i * 8u);
    const uint4 stage_v_1 = widen_u8x4(stage_bits.x);
    const uint4 stage_v_2 = widen_u8x4(stage_bits.y);
    *(uint2*)(y + i * 8u) = make_uint2(narrow_u8x4(stage_v_1.x, stage_v_1.y, stage_v_1.z, stage_v_1.w), narrow_u8x4(stage_v_2.x, stage_v_2.y, stage_v_2.z, stage_v_2.w));
    const uint2 x_bits_1 = *(const uint2*)(x + 8u);
    const uint4 x_v_4 = widen_u8x4(x_bits_1.x);
    y[i] = uchar(x_v_4.z + x_v_4.x);
}
