extern "C" __global__ void __launch_bounds__(32) int_widths(
    const int* __restrict__ x,
    int* y)
{
    const uint thread_index = threadIdx.x;
    __shared__ __align__(32) int stage[256];
    const uint i = thread_index;  // memory.rs:79
    y[i] = x[i];
    const int2 x_v = *(const int2*)(x + i * 2u);
    *(int2*)(y + i * 2u) = make_int2(x_v.y, x_v.x);
    const int4 x_v_1 = *(const int4*)(x + i * 4u);
    *(int4*)(y + (i * 4u + 64u)) = make_int4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    *(int4*)(stage + i * 4u) = make_int4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    __syncthreads();
    const int4 stage_v = *(const int4*)(stage + (i ^ 1u) * 4u);
    *(int4*)(y) = make_int4(stage_v.x, stage_v.y, stage_v.z, stage_v.w);
}
