[[max_total_threads_per_threadgroup(64)]]
kernel void lanes(
    device const float* x [[buffer(0)]],
    device const int* n [[buffer(1)]],
    device const uint* u [[buffer(2)]],
    device float* y [[buffer(3)]],
    device int* m [[buffer(4)]],
    device uint* w [[buffer(5)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    const uint i = thread_index;  // lanes.rs:34
    const float a = x[i];  // lanes.rs:35
    const int b = n[i];  // lanes.rs:36
    const uint c = u[i];  // lanes.rs:37
    const float t = sum_of_lanes(a);  // lanes.rs:38
    y[i] = t;
    const float t_1 = simd_max(a);  // lanes.rs:39
    y[i] = t_1;
    const float t_2 = simd_min(a);  // lanes.rs:40
    y[i] = t_2;
    const float t_3 = sum_of_lanes_before(a, lane_index);  // lanes.rs:41
    y[i] = t_3;
    const float t_4 = simd_shuffle(a, ushort((lane_index + 1u) % 32u));  // lanes.rs:42
    y[i] = t_4;
    const float t_5 = simd_shuffle_xor(a, 5);  // lanes.rs:43
    y[i] = t_5;
    const int t_6 = sum_of_lanes(b);  // lanes.rs:44
    m[i] = t_6;
    const int t_7 = simd_max(b);  // lanes.rs:45
    m[i] = t_7;
    const int t_8 = simd_min(b);  // lanes.rs:46
    m[i] = t_8;
    const int t_9 = int(simd_prefix_exclusive_sum(uint(b)));  // lanes.rs:47
    m[i] = t_9;
    const int t_10 = simd_shuffle(b, ushort(3u));  // lanes.rs:48
    m[i] = t_10;
    const int t_11 = simd_shuffle_xor(b, 16);  // lanes.rs:49
    m[i] = t_11;
    const uint t_12 = sum_of_lanes(c);  // lanes.rs:50
    w[i] = t_12;
    const uint t_13 = simd_max(c);  // lanes.rs:51
    w[i] = t_13;
    const uint t_14 = simd_min(c);  // lanes.rs:52
    w[i] = t_14;
    const uint t_15 = simd_prefix_exclusive_sum(c);  // lanes.rs:53
    w[i] = t_15;
    const uint t_16 = simd_shuffle(c, ushort(simdgroup_index));  // lanes.rs:54
    w[i] = t_16;
    const uint t_17 = simd_shuffle_xor(c, 1);  // lanes.rs:55
    w[i] = t_17;
    const uint t_18 = ballot_of_lanes(0.0f < a);  // lanes.rs:56
    w[i] = t_18;
}
