struct optional_args {
    uint len;
};

[[max_total_threads_per_threadgroup(32)]]
kernel void optional(
    device const float* x [[buffer(0)]],
    device float* y [[buffer(1)]],
    constant optional_args& args [[buffer(2)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    const uint i = thread_index;  // memory.rs:96
    float value = x[i];  // memory.rs:97
    y[i] = value;  // memory.rs:101
}
