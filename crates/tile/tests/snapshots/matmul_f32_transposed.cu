struct matmul_f32_transposed_args {
    uint len;
};

extern "C" __global__ void __launch_bounds__(64) matmul_f32_transposed(
    const float* __restrict__ a,
    const float* __restrict__ b,
    float* c,
    matmul_f32_transposed_args args)
{
    const uint thread_index = threadIdx.x;
    const uint simdgroup_index = threadIdx.x / 32u;
    __shared__ __align__(32) float left[384];
    __shared__ __align__(32) float right[768];
    __shared__ __align__(32) float result[640];
    const uint side = simdgroup_index * 16u;  // matrices.rs:25
    tile_f32_sum sum;  // matrices.rs:26
    tile_fill(sum, 0.0f);
    for (uint step_1 = 0u; step_1 < args.len; step_1 += 16u) {  // matrices.rs:27
        for (uint i = thread_index; i < 256u; i += 64u) {  // matrices.rs:28
            left[i / 16u * 24u + i % 16u] = a[i / 16u * args.len + step_1 + i % 16u];  // matrices.rs:29
        }
        for (uint i_1 = thread_index; i_1 < 512u; i_1 += 64u) {  // matrices.rs:31
            right[i_1 / 16u * 24u + i_1 % 16u] = b[i_1 / 16u * args.len + step_1 + i_1 % 16u];  // matrices.rs:33
        }
        __syncthreads();  // matrices.rs:38
        tile_f32_left left_1;  // matrices.rs:39
        tile_load(left_1, left, 24u);
        tile_f32_right_transposed right_1;  // matrices.rs:41
        tile_load_transposed(right_1, right + side * 24u, 24u);
        tile_multiply(sum, left_1, right_1);  // matrices.rs:45
        __syncthreads();  // matrices.rs:46
    }
    tile_store(sum, result + side, 40u);  // matrices.rs:48
    __syncthreads();  // matrices.rs:49
    for (uint i_2 = thread_index; i_2 < 512u; i_2 += 64u) {  // matrices.rs:50
        c[i_2] = result[i_2 / 32u * 40u + i_2 % 32u];  // matrices.rs:51
    }
}
