struct order_args {
    uint len;
};

[[max_total_threads_per_threadgroup(32)]]
kernel void order(
    device const float* x [[buffer(0)]],
    device float* y [[buffer(1)]],
    device float* z [[buffer(2)]],
    constant order_args& args [[buffer(3)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup float stage[32];
    const uint i = thread_index;  // flow.rs:72
    uint n = args.len;  // flow.rs:73
    float acc = 0.0f;  // flow.rs:74
    const uint t = n;  // flow.rs:76
    n += 1u;  // flow.rs:77
    z[t * 2u] = acc;  // flow.rs:78
    acc += 1.0f;  // flow.rs:81
    z[n * 3u] = acc;  // flow.rs:82
    const float t_1 = y[i];  // flow.rs:84
    z[i] = 0.0f;  // flow.rs:85
    z[i + 1u] = t_1 + x[i];  // flow.rs:86
    stage[i] = acc;  // flow.rs:87
    threadgroup_barrier(mem_flags::mem_threadgroup);  // flow.rs:88
    z[i] = acc;  // flow.rs:90
    z[i] = stage[i];  // flow.rs:91
    const float t_2 = stage[i + 1u];  // flow.rs:92
    threadgroup_barrier(mem_flags::mem_threadgroup);  // flow.rs:93
    stage[i] = t_2;  // flow.rs:94
    const uint t_3 = n;  // flow.rs:96
    for (uint k = 0u; k < t_3; k += 1u) {
        n += k;  // flow.rs:97
    }
    const uint bound = saturating_uint(x[0u]);  // flow.rs:99
    for (uint k_1 = i; k_1 < bound + n; k_1 += 1u) {  // flow.rs:100
        acc += float(k_1);  // flow.rs:101
    }
    const float t_4 = x[3u];  // flow.rs:103
    for (uint k_2 = 0u; k_2 < saturating_uint(t_4); k_2 += 1u) {
        acc += float(k_2);  // flow.rs:104
    }
    const float t_5 = acc * 2.0f;  // flow.rs:107
    const float t_6 = acc * 4.0f;
    if (i < n) {  // flow.rs:108
        z[i] = t_5;  // flow.rs:109
    }
    z[i] = t_6 * t_6;  // flow.rs:111
    float long_1 = 0.0f;  // flow.rs:114
    const float t_7 = x[i] + x[i + 1u] + x[i + 2u] + x[i + 3u] + x[i + 4u] + x[i + 5u] + x[i + 6u] + x[i + 7u] + x[i + 8u] + x[i + 9u];  // flow.rs:115
    long_1 += t_7;
    z[i] = long_1;  // flow.rs:125
}
