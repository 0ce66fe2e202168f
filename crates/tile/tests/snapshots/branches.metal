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
    const uint i = thread_index;  // flow.rs:31
    float acc = 0.0f;  // flow.rs:32
    for (uint k = i; k < args.len; k += 32u) {  // flow.rs:33
        const float v = x[k];  // flow.rs:34
        if (1.0f < v) {  // flow.rs:35
            acc += v;  // flow.rs:36
        } else if (v < -1.0f) {  // flow.rs:37
            acc -= v * 2.0f;  // flow.rs:38
        } else {
            acc = v;  // flow.rs:40
        }
    }
    for (uint k_1 = i; k_1 < args.len; k_1 += i + 64u) {  // flow.rs:43
        for (uint j = 0u; j < k_1; j += 1u) {  // flow.rs:44
            acc *= x[j + k_1];  // flow.rs:45
        }
    }
    if (i == 0u) {  // flow.rs:48
    } else {
        acc += 1.0f;  // flow.rs:50
    }
    float parts = 0.0f;  // flow.rs:52
    float parts_1 = 1.0f;
    parts += acc;  // flow.rs:54
    parts_1 += acc;
    parts -= parts_1;  // flow.rs:56
    y[i] = parts + parts_1;  // flow.rs:59
}
