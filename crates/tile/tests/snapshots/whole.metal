struct whole_args {
    uint len;
};

[[max_total_threads_per_threadgroup(32)]]
kernel void whole(
    device const int* a [[buffer(0)]],
    device const uint* b [[buffer(1)]],
    device int* y [[buffer(2)]],
    device uint* z [[buffer(3)]],
    constant whole_args& args [[buffer(4)]],
    uint3 group_index [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane_index [[thread_index_in_simdgroup]],
    uint simdgroup_index [[simdgroup_index_in_threadgroup]])
{
    const uint i = thread_index;  // arithmetic.rs:12
    const int p = a[i];  // arithmetic.rs:13
    const int q = a[i + 1u];  // arithmetic.rs:14
    y[i] = int(uint(p) + uint(q) * uint(p));  // arithmetic.rs:15
    y[i] = int(0u - uint(p) - (uint(q) << 3u));  // arithmetic.rs:16
    y[i] = (p >> 2) / q % 7;  // arithmetic.rs:17
    y[i] = (wrapping_abs(p) & ~q) | (q ^ 90);  // arithmetic.rs:18
    y[i] = min(p, q);  // arithmetic.rs:19
    y[i] = int(uint(p) * 3u + 0x80000000u);  // arithmetic.rs:20
    y[i] = p < q ? int(uint(p) - 1u) : q;  // arithmetic.rs:21
    const uint u = b[i];  // arithmetic.rs:22
    const uint v = b[args.len - i];  // arithmetic.rs:23
    z[i] = (u + v) * u / (v - 1u) % 13u;  // arithmetic.rs:24
    z[i] = u - (v - u) - v;  // arithmetic.rs:25
    z[i] = ((u & 255u) << 8u) | ((v >> 4u) ^ u);  // arithmetic.rs:26
    z[i] = popcount(u) + clz(v) + max(u, 0xdeadbeefu);  // arithmetic.rs:27
    z[i] = -u;  // arithmetic.rs:28
    z[i] = uint(p) + uint(q);  // arithmetic.rs:29
    z[i] = uint((u < v && v != 3u) || !(u == 7u) != (p <= q));  // arithmetic.rs:30
    y[i] = int(uint(int(v <= u)) + u);  // arithmetic.rs:31
}
