extern "C" __global__ void __launch_bounds__(32) floats(
    const float* __restrict__ x,
    float* y,
    int* n,
    uint* u)
{
    const uint thread_index = threadIdx.x;
    const uint i = thread_index;  // arithmetic.rs:47
    const float a = x[i];  // arithmetic.rs:48
    const float b = x[i + 1u];  // arithmetic.rs:49
    y[i] = expf(a) + exp2f(b) * logf(a) - sqrtf(b) / rsqrtf(a);  // arithmetic.rs:50
    y[i] = sinf(a) + cosf(b) + tanhf(a);  // arithmetic.rs:51
    y[i] = floorf(a) - rintf(b) - fabsf(a - b);  // arithmetic.rs:52
    y[i] = fmaf(a, b, -a) - -b;  // arithmetic.rs:53
    y[i] = a - (b - a) - b * (a * b) / (a / b);  // arithmetic.rs:54
    y[i] = fmaxf(fminf(a, 1.0f), -1.5f);  // arithmetic.rs:55
    y[i] = float_of_half_bits(__float_as_uint(a) & 65535u) + __uint_as_float(__float_as_uint(a) ^ 0x80000000u);  // arithmetic.rs:56
    n[i] = int(uint(saturating_int(a)) + uint(saturating_int(b + 0.5f)));  // arithmetic.rs:57
    u[i] = saturating_uint(a);  // arithmetic.rs:58
    y[i] = float(saturating_uint(a)) + float(saturating_int(a)) + float(a < b);  // arithmetic.rs:59
}
