extern "C" __global__ void __launch_bounds__(64) lanes(
    const float* __restrict__ x,
    const int* __restrict__ n,
    const uint* __restrict__ u,
    float* y,
    int* m,
    uint* w)
{
    const uint thread_index = threadIdx.x;
    const uint lane_index = threadIdx.x % 32u;
    const uint simdgroup_index = threadIdx.x / 32u;
    const uint i = thread_index;  // lanes.rs:34
    const float a = x[i];  // lanes.rs:35
    const int b = n[i];  // lanes.rs:36
    const uint c = u[i];  // lanes.rs:37
    const float t = sum_of_lanes(a);  // lanes.rs:38
    y[i] = t;
    const float t_1 = max_of_lanes(a);  // lanes.rs:39
    y[i] = t_1;
    const float t_2 = min_of_lanes(a);  // lanes.rs:40
    y[i] = t_2;
    const float t_3 = sum_of_lanes_before(a, threadIdx.x % 32u);  // lanes.rs:41
    y[i] = t_3;
    const float t_4 = __shfl_sync(0xffffffffu, a, (lane_index + 1u) % 32u);  // lanes.rs:42
    y[i] = t_4;
    const float t_5 = __shfl_xor_sync(0xffffffffu, a, 5);  // lanes.rs:43
    y[i] = t_5;
    const int t_6 = sum_of_lanes(b);  // lanes.rs:44
    m[i] = t_6;
    const int t_7 = max_of_lanes(b);  // lanes.rs:45
    m[i] = t_7;
    const int t_8 = min_of_lanes(b);  // lanes.rs:46
    m[i] = t_8;
    const int t_9 = sum_of_lanes_before(b, threadIdx.x % 32u);  // lanes.rs:47
    m[i] = t_9;
    const int t_10 = __shfl_sync(0xffffffffu, b, 3u);  // lanes.rs:48
    m[i] = t_10;
    const int t_11 = __shfl_xor_sync(0xffffffffu, b, 16);  // lanes.rs:49
    m[i] = t_11;
    const uint t_12 = sum_of_lanes(c);  // lanes.rs:50
    w[i] = t_12;
    const uint t_13 = max_of_lanes(c);  // lanes.rs:51
    w[i] = t_13;
    const uint t_14 = min_of_lanes(c);  // lanes.rs:52
    w[i] = t_14;
    const uint t_15 = sum_of_lanes_before(c, threadIdx.x % 32u);  // lanes.rs:53
    w[i] = t_15;
    const uint t_16 = __shfl_sync(0xffffffffu, c, simdgroup_index);  // lanes.rs:54
    w[i] = t_16;
    const uint t_17 = __shfl_xor_sync(0xffffffffu, c, 1);  // lanes.rs:55
    w[i] = t_17;
    const uint t_18 = __ballot_sync(0xffffffffu, 0.0f < a);  // lanes.rs:56
    w[i] = t_18;
}
