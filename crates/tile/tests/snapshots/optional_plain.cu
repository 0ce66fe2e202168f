struct optional_plain_args {
    uint len;
};

extern "C" __global__ void __launch_bounds__(32) optional_plain(
    const float* __restrict__ x,
    float* y,
    optional_plain_args args)
{
    const uint thread_index = threadIdx.x;
    const uint i = thread_index;  // memory.rs:91
    float value = x[i];  // memory.rs:92
    y[i] = value;  // memory.rs:96
}
