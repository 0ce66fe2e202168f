struct optional_args {
    uint len;
};

extern "C" __global__ void __launch_bounds__(32) optional(
    const float* __restrict__ x,
    float* y,
    optional_args args)
{
    const uint thread_index = threadIdx.x;
    const uint i = thread_index;  // memory.rs:96
    float value = x[i];  // memory.rs:97
    y[i] = value;  // memory.rs:101
}
