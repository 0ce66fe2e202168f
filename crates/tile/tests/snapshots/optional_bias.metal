struct optional_bias_args {
    uint len;
};

[[max_total_threads_per_threadgroup(32)]]
kernel void optional_bias(
    device const float* x [[buffer(0)]],
    device const half* bias [[buffer(1)]],
    device float* y [[buffer(2)]],
    constant optional_bias_args& args [[buffer(3)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    const uint i = thread_index;  // memory.rs:96
    float value = x[i];  // memory.rs:97
    value += float(bias[i % args.len]);  // memory.rs:99
    y[i] = value;  // memory.rs:101
}
