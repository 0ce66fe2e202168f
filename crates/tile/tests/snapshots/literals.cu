extern "C" __global__ void __launch_bounds__(32) literals(
    float* y,
    int* n,
    uint* u)
{
    y[0u] = 0.0f;  // arithmetic.rs:90
    y[1u] = -0.0f;
    y[2u] = 1.0f;
    y[3u] = -1.0f;
    y[4u] = 0.1f;
    y[5u] = 0.33333334f;
    y[6u] = 3.4028235e38f;
    y[7u] = -1.1754944e-38f;
    y[8u] = __uint_as_float(0x00000001u);
    y[9u] = 1e-6f;
    y[10u] = 16777216.0f;
    y[11u] = 1e20f;
    y[12u] = __uint_as_float(0x7f800000u);
    y[13u] = __uint_as_float(0xff800000u);
    y[14u] = __uint_as_float(0x7fc00000u);
    y[15u] = __uint_as_float(0x0000000au);
    n[0u] = 0;  // arithmetic.rs:93
    n[1u] = 1;
    n[2u] = -1;
    n[3u] = 2147483647;
    n[4u] = int(0x80000000u);
    n[5u] = -2147483647;
    u[0u] = 0u;  // arithmetic.rs:96
    u[1u] = 1u;
    u[2u] = 4096u;
    u[3u] = 99999u;
    u[4u] = 0x186a0u;
    u[5u] = 0xffff0000u;
    u[6u] = 0xffffffffu;
}
