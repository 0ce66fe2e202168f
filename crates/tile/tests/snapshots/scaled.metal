struct scaled_args {
    uint len;
    float factor;
    int shift;
};

[[max_total_threads_per_threadgroup(64)]]
kernel void scaled(
    device const float* x [[buffer(0)]],
    device float* y [[buffer(1)]],
    constant scaled_args& args [[buffer(2)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    const uint i = group_index.x * 64u + thread_index;  // flow.rs:20
    if (i < args.len) {  // flow.rs:21
        y[i] = x[i] * args.factor + float(args.shift);  // flow.rs:22
    }
}
