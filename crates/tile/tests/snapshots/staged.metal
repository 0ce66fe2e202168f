[[max_total_threads_per_threadgroup(32)]]
kernel void staged(
    device const float* x [[buffer(0)]],
    device const uchar* b [[buffer(1)]],
    device const ushort* h [[buffer(2)]],
    device float* y [[buffer(3)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup float singles[128];
    alignas(16) threadgroup uchar bytes[512];
    alignas(16) threadgroup ushort halves[128];
    const uint i = thread_index;  // staged.rs:52
    stage_4(singles + i, x + i);  // staged.rs:53
    stage_16(bytes + i * 16u, b + i * 16u);  // staged.rs:54
    stage_8(halves + i * 4u, h + i * 4u, i < 20u);  // staged.rs:56
    const float t = singles[i];  // staged.rs:60
    y[i] = t + float(uint(bytes[i * 16u + 3u]));  // staged.rs:62
    y[i + 32u] = float_of_bfloat(halves[i * 4u + 1u]);  // staged.rs:63
}
