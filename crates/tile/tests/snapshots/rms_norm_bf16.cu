struct rms_norm_bf16_args {
    uint width;
    float epsilon;
};

extern "C" __global__ void __launch_bounds__(128) rms_norm_bf16(
    const float* __restrict__ x,
    const ushort* __restrict__ weight,
    float* y,
    rms_norm_bf16_args args)
{
    const uint3 group_index = blockIdx;
    const uint thread_index = threadIdx.x;
    const uint lane_index = threadIdx.x % 32u;
    const uint simdgroup_index = threadIdx.x / 32u;
    __shared__ __align__(32) float partial[4];
    const uint row = group_index.x * args.width;  // matrices.rs:78
    float squares = 0.0f;  // matrices.rs:79
    for (uint i = thread_index * 4u; i < args.width; i += 512u) {  // matrices.rs:80
        const float4 x_v = *(const float4*)(x + (row + i));  // matrices.rs:81
        squares = fmaf(x_v.x, x_v.x, squares);  // matrices.rs:82
        squares = fmaf(x_v.y, x_v.y, squares);
        squares = fmaf(x_v.z, x_v.z, squares);
        squares = fmaf(x_v.w, x_v.w, squares);
    }
    const float sum = sum_of_lanes(squares);  // matrices.rs:85
    if (lane_index == 0u) {  // matrices.rs:86
        partial[simdgroup_index] = sum;  // matrices.rs:87
    }
    __syncthreads();  // matrices.rs:89
    float total = 0.0f;  // matrices.rs:90
    total += partial[0u];  // matrices.rs:92
    total += partial[1u];
    total += partial[2u];
    total += partial[3u];
    const float scale = rsqrtf(total / float(args.width) + args.epsilon);  // matrices.rs:94
    for (uint i_1 = thread_index * 4u; i_1 < args.width; i_1 += 512u) {  // matrices.rs:95
        const float4 x_v_1 = *(const float4*)(x + (row + i_1));  // matrices.rs:96
        const float4 weight_v = widen_bf16x4(*(const uint2*)(weight + i_1));  // matrices.rs:97
        *(float4*)(y + (row + i_1)) = make_float4(x_v_1.x * scale * weight_v.x, x_v_1.y * scale * weight_v.y, x_v_1.z * scale * weight_v.z, x_v_1.w * scale * weight_v.w);  // matrices.rs:98
    }
}
