struct branches_args {
    uint len;
};

[[max_total_threads_per_threadgroup(32)]]
kernel void branches(
    device const float* x [[buffer(0)]],
    device float* y [[buffer(1)]],
    constant branches_args& args [[buffer(2)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    const uint i = thread_index;  // flow.rs:33
    float acc = 0.0f;  // flow.rs:34
    for (uint k = i; k < args.len; k += 32u) {  // flow.rs:35
        const float v = x[k];  // flow.rs:36
        if (1.0f < v) {  // flow.rs:37
            acc += v;  // flow.rs:38
        } else if (v < -1.0f) {  // flow.rs:39
            acc -= v * 2.0f;  // flow.rs:40
        } else {
            acc = v;  // flow.rs:42
        }
    }
    for (uint k_1 = i; k_1 < args.len; k_1 += i + 64u) {  // flow.rs:45
        for (uint j = 0u; j < k_1; j += 1u) {  // flow.rs:46
            acc *= x[j + k_1];  // flow.rs:47
        }
    }
    if (i == 0u) {  // flow.rs:50
    } else {
        acc += 1.0f;  // flow.rs:52
    }
    float parts = 0.0f;  // flow.rs:54
    float parts_1 = 1.0f;
    parts += acc;  // flow.rs:56
    parts_1 += acc;
    parts -= parts_1;  // flow.rs:58
    y[i] = parts + parts_1;  // flow.rs:61
}
