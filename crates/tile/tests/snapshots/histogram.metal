struct histogram_args {
    uint len;
};

[[max_total_threads_per_threadgroup(256)]]
kernel void histogram(
    device const uchar* x [[buffer(0)]],
    device uint* counts [[buffer(1)]],
    constant histogram_args& args [[buffer(2)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup uint local_1[256];
    const uint i = thread_index;  // lanes.rs:13
    local_1[i] = 0u;  // lanes.rs:14
    threadgroup_barrier(mem_flags::mem_threadgroup);  // lanes.rs:15
    const uint at = group_index.x * 256u + i;  // lanes.rs:16
    if (at < args.len) {  // lanes.rs:17
        atomic_fetch_add_explicit((threadgroup atomic_uint*)(local_1 + uint(x[at])), 1u, memory_order_relaxed);  // lanes.rs:18
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);  // lanes.rs:20
    const uint before = atomic_fetch_add_explicit((device atomic_uint*)(counts + i), local_1[i], memory_order_relaxed);  // lanes.rs:21
    atomic_fetch_max_explicit((device atomic_uint*)(counts + (i + 256u)), before, memory_order_relaxed);  // lanes.rs:22
    atomic_fetch_min_explicit((device atomic_uint*)(counts + 512u), before, memory_order_relaxed);  // lanes.rs:23
    atomic_fetch_or_explicit((threadgroup atomic_uint*)(local_1), before, memory_order_relaxed);  // lanes.rs:24
}
