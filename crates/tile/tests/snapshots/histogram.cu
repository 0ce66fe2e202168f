struct histogram_args {
    uint len;
};

extern "C" __global__ void __launch_bounds__(256) histogram(
    const uchar* __restrict__ x,
    uint* counts,
    histogram_args args)
{
    const uint3 group_index = blockIdx;
    const uint thread_index = threadIdx.x;
    __shared__ __align__(32) uint local_1[256];
    const uint i = thread_index;  // lanes.rs:13
    local_1[i] = 0u;  // lanes.rs:14
    __syncthreads();  // lanes.rs:15
    const uint at = group_index.x * 256u + i;  // lanes.rs:16
    if (at < args.len) {  // lanes.rs:17
        atomicAdd(local_1 + uint(x[at]), 1u);  // lanes.rs:18
    }
    __syncthreads();  // lanes.rs:20
    const uint before = atomicAdd(counts + i, local_1[i]);  // lanes.rs:21
    atomicMax(counts + (i + 256u), before);  // lanes.rs:22
    atomicMin(counts + 512u, before);  // lanes.rs:23
    atomicOr(local_1, before);  // lanes.rs:24
}
