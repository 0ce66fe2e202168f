extern "C" __global__ void __launch_bounds__(32) word_widths_u32(
    const uint* __restrict__ x,
    uint* y)
{
    const uint thread_index = threadIdx.x;
    __shared__ __align__(32) uint stage[256];
    const uint i = thread_index;  // memory.rs:57
    y[i] = x[i];
    const uint2 x_v = *(const uint2*)(x + i * 2u);
    *(uint2*)(y + i * 2u) = make_uint2(x_v.y, x_v.x);
    const uint4 x_v_1 = *(const uint4*)(x + i * 4u);
    *(uint4*)(y + (i * 4u + 64u)) = make_uint4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    *(uint4*)(stage + i * 4u) = make_uint4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    __syncthreads();
    const uint4 stage_v = *(const uint4*)(stage + (i ^ 1u) * 4u);
    *(uint4*)(y) = make_uint4(stage_v.x, stage_v.y, stage_v.z, stage_v.w);
}
