struct ring_d3_args {
    uint len;
};

extern "C" __global__ void __launch_bounds__(64) ring_d3(
    const half* __restrict__ x,
    float* y,
    ring_d3_args args)
{
    const uint thread_index = threadIdx.x;
    __shared__ __align__(32) half ring[1536];
    const uint from = thread_index * 8u;  // staged.rs:17
    stage_16(ring + from, x + from, 0u < args.len);  // staged.rs:18
    stage_commit();  // staged.rs:19
    const uint from_1 = 512u + thread_index * 8u;  // staged.rs:17
    stage_16(ring + from_1, x + from_1, 1u < args.len);  // staged.rs:18
    stage_commit();  // staged.rs:19
    const uint other = (thread_index + 1u) % 64u * 8u;  // staged.rs:21
    float sum = 0.0f;  // staged.rs:22
    for (uint block = 0u; block < args.len; block += 1u) {  // staged.rs:23
        stage_wait<1>();  // staged.rs:24
        __syncthreads();  // staged.rs:25
        const uint next = block + 2u;  // staged.rs:26
        stage_16(ring + (next % 3u * 512u + thread_index * 8u), x + (next * 512u + thread_index * 8u), next < args.len);  // staged.rs:27
        stage_commit();  // staged.rs:33
        const uint4 ring_bits = *(const uint4*)(ring + (block % 3u * 512u + other));  // staged.rs:34
        const float4 ring_v = widen_f16x4(make_uint2(ring_bits.x, ring_bits.y));
        const float4 ring_v_1 = widen_f16x4(make_uint2(ring_bits.z, ring_bits.w));
        sum += ring_v.x;  // staged.rs:35
        sum += ring_v.y;
        sum += ring_v.z;
        sum += ring_v.w;
        sum += ring_v_1.x;
        sum += ring_v_1.y;
        sum += ring_v_1.z;
        sum += ring_v_1.w;
    }
    stage_wait<0>();  // staged.rs:38
    y[thread_index] = sum;  // staged.rs:39
}
