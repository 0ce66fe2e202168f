[[max_total_threads_per_threadgroup(32)]]
kernel void floats(
    device const float* x [[buffer(0)]],
    device float* y [[buffer(1)]],
    device int* n [[buffer(2)]],
    device uint* u [[buffer(3)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    const uint i = thread_index;  // arithmetic.rs:47
    const float a = x[i];  // arithmetic.rs:48
    const float b = x[i + 1u];  // arithmetic.rs:49
    y[i] = precise::exp(a) + precise::exp2(b) * precise::log(a) - precise::sqrt(b) / precise::rsqrt(a);  // arithmetic.rs:50
    y[i] = precise::sin(a) + precise::cos(b) + precise::tanh(a);  // arithmetic.rs:51
    y[i] = floor(a) - rint(b) - fabs(a - b);  // arithmetic.rs:52
    y[i] = fma(a, b, -a) - -b;  // arithmetic.rs:53
    y[i] = a - (b - a) - b * (a * b) / (a / b);  // arithmetic.rs:54
    y[i] = fmax(fmin(a, 1.0f), -1.5f);  // arithmetic.rs:55
    y[i] = float_of_half_bits(as_type<uint>(a) & 65535u) + as_type<float>(as_type<uint>(a) ^ 0x80000000u);  // arithmetic.rs:56
    n[i] = int(uint(saturating_int(a)) + uint(saturating_int(b + 0.5f)));  // arithmetic.rs:57
    u[i] = saturating_uint(a);  // arithmetic.rs:58
    y[i] = float(saturating_uint(a)) + float(saturating_int(a)) + float(a < b);  // arithmetic.rs:59
}
