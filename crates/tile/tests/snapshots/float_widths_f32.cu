extern "C" __global__ void __launch_bounds__(32) float_widths_f32(
    const float* __restrict__ x,
    float* y)
{
    const uint thread_index = threadIdx.x;
    __shared__ __align__(32) float stage[256];
    const uint i = thread_index;  // memory.rs:44
    y[i] = x[i];
    const float2 x_v = *(const float2*)(x + i * 2u);
    *(float2*)(y + i * 2u) = make_float2(x_v.y, x_v.x);
    const float4 x_v_1 = *(const float4*)(x + i * 4u);
    *(float4*)(y + (i * 4u + 64u)) = make_float4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    *(float4*)(stage + i * 4u) = make_float4(x_v_1.x, x_v_1.y, x_v_1.z, x_v_1.w);
    __syncthreads();
    const float4 stage_v = *(const float4*)(stage + (i ^ 1u) * 4u);
    *(float4*)(y) = make_float4(stage_v.x, stage_v.y, stage_v.z, stage_v.w);
}
