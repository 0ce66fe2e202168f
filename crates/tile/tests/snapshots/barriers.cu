extern "C" __global__ void __launch_bounds__(64) barriers(
    float* y)
{
    const uint thread_index = threadIdx.x;
    __shared__ __align__(32) float stage[64];
    const uint i = thread_index;  // lanes.rs:64
    stage[i] = y[i];  // lanes.rs:65
    __syncthreads();  // lanes.rs:66
    y[i] = stage[i ^ 63u];  // lanes.rs:67
    __syncthreads();  // lanes.rs:68
    stage[i] = y[i ^ 1u];  // lanes.rs:69
    __syncwarp();  // lanes.rs:70
    y[i] = stage[i ^ 2u];  // lanes.rs:71
}
