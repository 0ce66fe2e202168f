extern "C" __global__ void __launch_bounds__(64) barriers(
    float* y)
{
    const uint thread_index = threadIdx.x;
    __shared__ __align__(32) float stage[64];
    const uint i = thread_index;  // lanes.rs:67
    stage[i] = y[i];  // lanes.rs:68
    __syncthreads();  // lanes.rs:69
    y[i] = stage[i ^ 63u];  // lanes.rs:70
    __syncthreads();  // lanes.rs:71
    stage[i] = y[i ^ 1u];  // lanes.rs:72
    __syncwarp();  // lanes.rs:73
    y[i] = stage[i ^ 2u];  // lanes.rs:74
}
