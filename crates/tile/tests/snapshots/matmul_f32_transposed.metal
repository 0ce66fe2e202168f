struct matmul_f32_transposed_args {
    uint len;
};

[[max_total_threads_per_threadgroup(64)]]
kernel void matmul_f32_transposed(
    device const float* a [[buffer(0)]],
    device const float* b [[buffer(1)]],
    device float* c [[buffer(2)]],
    constant matmul_f32_transposed_args& args [[buffer(3)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup float left[384];
    alignas(16) threadgroup float right[768];
    alignas(16) threadgroup float result[640];
    const uint side = simdgroup_index * 16u;  // matrices.rs:25
    tile_f32 sum;  // matrices.rs:26
    tile_fill(sum, 0.0f);
    for (uint step_1 = 0u; step_1 < args.len; step_1 += 16u) {  // matrices.rs:27
        for (uint i = thread_index; i < 256u; i += 64u) {  // matrices.rs:28
            left[i / 16u * 24u + i % 16u] = a[i / 16u * args.len + step_1 + i % 16u];  // matrices.rs:29
        }
        for (uint i_1 = thread_index; i_1 < 512u; i_1 += 64u) {  // matrices.rs:31
            right[i_1 / 16u * 24u + i_1 % 16u] = b[i_1 / 16u * args.len + step_1 + i_1 % 16u];  // matrices.rs:33
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);  // matrices.rs:38
        tile_f32 left_1;  // matrices.rs:39
        tile_load(left_1, left, 24u);
        tile_f32 right_1;  // matrices.rs:41
        tile_load_transposed(right_1, right + side * 24u, 24u);
        tile_multiply(sum, left_1, right_1);  // matrices.rs:45
        threadgroup_barrier(mem_flags::mem_threadgroup);  // matrices.rs:46
    }
    tile_store(sum, result + side, 40u);  // matrices.rs:48
    threadgroup_barrier(mem_flags::mem_threadgroup);  // matrices.rs:49
    for (uint i_2 = thread_index; i_2 < 512u; i_2 += 64u) {  // matrices.rs:50
        c[i_2] = result[i_2 / 32u * 40u + i_2 % 32u];  // matrices.rs:51
    }
}
