struct ring_d3_args {
    uint len;
};

[[max_total_threads_per_threadgroup(64)]]
kernel void ring_d3(
    device const half* x [[buffer(0)]],
    device float* y [[buffer(1)]],
    constant ring_d3_args& args [[buffer(2)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    alignas(16) threadgroup half ring[1536];
    const uint from = thread_index * 8u;  // staged.rs:17
    stage_16(ring + from, x + from, 0u < args.len);  // staged.rs:18
    const uint from_1 = 512u + thread_index * 8u;  // staged.rs:17
    stage_16(ring + from_1, x + from_1, 1u < args.len);  // staged.rs:18
    const uint other = (thread_index + 1u) % 64u * 8u;  // staged.rs:21
    float sum = 0.0f;  // staged.rs:22
    for (uint block = 0u; block < args.len; block += 1u) {  // staged.rs:23
        threadgroup_barrier(mem_flags::mem_threadgroup);  // staged.rs:25
        const uint next = block + 2u;  // staged.rs:26
        stage_16(ring + (next % 3u * 512u + thread_index * 8u), x + (next * 512u + thread_index * 8u), next < args.len);  // staged.rs:27
        const uint4 ring_bits = *(threadgroup const uint4*)(ring + (block % 3u * 512u + other));  // staged.rs:34
        const float4 ring_v = float4(as_type<half4>(ring_bits.xy));
        const float4 ring_v_1 = float4(as_type<half4>(ring_bits.zw));
        sum += ring_v.x;  // staged.rs:35
        sum += ring_v.y;
        sum += ring_v.z;
        sum += ring_v.w;
        sum += ring_v_1.x;
        sum += ring_v_1.y;
        sum += ring_v_1.z;
        sum += ring_v_1.w;
    }
    y[thread_index] = sum;  // staged.rs:39
}
