//! Operations on values.

use super::*;

/// Whole numbers.
#[derive(Name)]
pub struct Whole;
spec!(Whole, Len, 32);

#[kernel]
fn whole(_k: &Whole, a: In<I32>, b: In<U32>, y: Out<I32>, z: Out<U32>, args: Args<Len>) {
    let i = thread();
    let p = a.at(i);
    let q = a.at(i + 1);
    y.set(i, p + q * p);
    y.set(i, -p - (q << 3));
    y.set(i, (p >> 2) / q % 7);
    y.set(i, abs::<i32>(p) & !q | q ^ 0x5a);
    y.set(i, min::<i32>(p, q));
    y.set(i, p.u32().i32() * 3 + i32::MIN);
    y.set(i, select(lt_(p, q), p - 1, q));
    let u = b.at(i);
    let v = b.at(args.len - i);
    z.set(i, (u + v) * u / (v - 1) % 13);
    z.set(i, u - (v - u) - v);
    z.set(i, (u & 0xff) << 8 | (v >> 4) ^ u);
    z.set(i, popcount(u) + leading_zeros(v) + max::<u32>(u, 0xdead_beef));
    z.set(i, (-u).i32().u32());
    z.set(i, p.bits() + q.u32());
    z.set(i, ((u < v) & (v != 3) | !(u == 7) ^ (p <= q)).u32());
    y.set(i, (u >= v).i32() + u.as_signed());
}

/// A comparison in a function of its own.
#[device]
fn lt_(a: Val<i32>, b: Val<i32>) -> Val<bool> {
    a < b
}

/// Floats.
#[derive(Name)]
pub struct Floats;
spec!(Floats, None_, 32);

#[kernel]
fn floats(_k: &Floats, x: In<F32>, y: Out<F32>, n: Out<I32>, u: Out<U32>) {
    let i = thread();
    let a = x.at(i);
    let b = x.at(i + 1);
    y.set(i, exp(a) + exp2(b) * log(a) - sqrt(b) / rsqrt(a));
    y.set(i, sin(a) + cos(b) + tanh(a));
    y.set(i, floor(a) - round(b) - abs::<f32>(a - b));
    y.set(i, fma(a, b, -a) - -b);
    y.set(i, a - (b - a) - b * (a * b) / (a / b));
    y.set(i, max::<f32>(min::<f32>(a, 1.0), -1.5));
    y.set(i, half_bits(a.bits() & 0xffff) + (a.bits() ^ 0x8000_0000).as_float());
    n.set(i, a.i32() + (b + 0.5).i32());
    u.set(i, a.u32());
    y.set(i, a.u32().f32() + a.i32().f32() + (a < b).f32());
}

/// Constants.
#[derive(Name)]
pub struct Literals;
spec!(Literals, None_, 32);

/// Floats whose text must read back to the same bits.
pub const FLOATS: [f32; 16] = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    0.1,
    1.0 / 3.0,
    3.402_823_5e38,
    -f32::MIN_POSITIVE,
    1e-45,
    1.0e-6,
    16_777_216.0,
    1e20,
    f32::INFINITY,
    f32::NEG_INFINITY,
    f32::NAN,
    1.4e-44,
];

#[kernel]
fn literals(_k: &Literals, y: Out<F32>, n: Out<I32>, u: Out<U32>) {
    for (i, x) in (0u32..).zip(FLOATS) {
        y.set(i, x);
    }
    for (i, x) in (0u32..).zip([0, 1, -1, i32::MAX, i32::MIN, i32::MIN + 1]) {
        n.set(i, x);
    }
    for (i, x) in (0u32..).zip([0, 1, 4096, 99_999, 100_000, 0xffff_0000, u32::MAX]) {
        u.set(i, x);
    }
}
