struct words_args {
    uint half_1;
    float float4_1;
    int struct_1;
    uint len;
};

extern "C" __global__ void __launch_bounds__(32) words(
    const float* __restrict__ device_1,
    float* half_1,
    words_args args)
{
    const uint3 group_index = blockIdx;
    const uint thread_index = threadIdx.x;
    const uint lane_index = threadIdx.x % 32u;
    const uint simdgroup_index = threadIdx.x / 32u;
    __shared__ __align__(32) float threadgroup_1[32];
    const uint thread_1 = thread_index;  // flow.rs:145
    const uint lane = lane_index;  // flow.rs:146
    const uint group = group_index.y;  // flow.rs:147
    const float kernel_1 = device_1[thread_1] + args.float4_1;  // flow.rs:148
    const float struct_1 = device_1[lane] + float(args.struct_1);  // flow.rs:149
    const uint simdgroup = simdgroup_index;  // flow.rs:150
    const float v_hidden = kernel_1 * struct_1;  // flow.rs:151
    float constant_1 = v_hidden;  // flow.rs:152
    const float x = device_1[args.half_1];  // flow.rs:153
    constant_1 += x;  // flow.rs:154
    const float x_1 = device_1[args.len];  // flow.rs:155
    constant_1 += x_1;  // flow.rs:156
    threadgroup_1[thread_1] = constant_1;  // flow.rs:157
    threadgroup_1[thread_1] = x_1;  // flow.rs:158
    half_1[group + simdgroup] = constant_1;  // flow.rs:159
}
