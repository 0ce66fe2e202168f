[[max_total_threads_per_threadgroup(64)]]
kernel void barriers(
    device float* y [[buffer(0)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup float stage[64];
    const uint i = thread_index;  // lanes.rs:67
    stage[i] = y[i];  // lanes.rs:68
    threadgroup_barrier(mem_flags::mem_threadgroup);  // lanes.rs:69
    y[i] = stage[i ^ 63u];  // lanes.rs:70
    threadgroup_barrier(mem_flags::mem_threadgroup | mem_flags::mem_device);  // lanes.rs:71
    stage[i] = y[i ^ 1u];  // lanes.rs:72
    simdgroup_barrier(mem_flags::mem_threadgroup);  // lanes.rs:73
    y[i] = stage[i ^ 2u];  // lanes.rs:74
}
