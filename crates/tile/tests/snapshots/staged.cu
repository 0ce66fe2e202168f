extern "C" __global__ void __launch_bounds__(32) staged(
    const float* __restrict__ x,
    const uchar* __restrict__ b,
    const ushort* __restrict__ h,
    float* y)
{
    const uint thread_index = threadIdx.x;
    __shared__ __align__(32) float singles[128];
    __shared__ __align__(32) uchar bytes[512];
    __shared__ __align__(32) ushort halves[128];
    const uint i = thread_index;  // staged.rs:52
    stage_4(singles + i, x + i);  // staged.rs:53
    stage_16(bytes + i * 16u, b + i * 16u);  // staged.rs:54
    stage_commit();  // staged.rs:55
    stage_8(halves + i * 4u, h + i * 4u, i < 20u);  // staged.rs:56
    stage_commit();  // staged.rs:57
    stage_wait<1>();  // staged.rs:59
    const float t = singles[i];  // staged.rs:60
    stage_wait<0>();  // staged.rs:61
    y[i] = t + float(uint(bytes[i * 16u + 3u]));  // staged.rs:62
    y[i + 32u] = float_of_bfloat(halves[i * 4u + 1u]);  // staged.rs:63
}
