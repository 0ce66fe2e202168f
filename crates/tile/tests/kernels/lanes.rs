//! Threads together.

use super::*;

/// Counts of bytes.
#[derive(Name)]
pub struct Histogram;
spec!(Histogram, Len, 256);

#[kernel]
fn histogram(_k: &Histogram, x: In<U8>, counts: InOut<U32>, a: Args<Len>) {
    let local = shared::<U32>("local", 256);
    let i = thread();
    local.set(i, 0);
    barrier();
    let at = group(0) * threads() + i;
    if at < a.len {
        atomic_add(local, x.at(at), 1);
    }
    barrier();
    let before = atomic_add(counts, i, local.at(i));
    atomic_max(counts, i + 256, before);
    atomic_min(counts, 512, before);
    atomic_or(local, 0, before);
}

/// Operations of a simdgroup.
#[derive(Name)]
pub struct Lanes;
spec!(Lanes, None_, 64);

#[kernel]
fn lanes(_k: &Lanes, x: In<F32>, n: In<I32>, u: In<U32>, y: Out<F32>, m: Out<I32>, w: Out<U32>) {
    let i = thread();
    let a = x.at(i);
    let b = n.at(i);
    let c = u.at(i);
    y.set(i, simd_sum(a));
    y.set(i, simd_max(a));
    y.set(i, simd_min(a));
    y.set(i, simd_prefix_sum(a));
    y.set(i, shuffle(a, (lane() + 1) % 32));
    y.set(i, shuffle_xor(a, 5));
    m.set(i, simd_sum(b));
    m.set(i, simd_max(b));
    m.set(i, simd_min(b));
    m.set(i, simd_prefix_sum(b));
    m.set(i, shuffle(b, 3));
    m.set(i, shuffle_xor(b, 16));
    w.set(i, simd_sum(c));
    w.set(i, simd_max(c));
    w.set(i, simd_min(c));
    w.set(i, simd_prefix_sum(c));
    w.set(i, shuffle(c, simdgroup()));
    w.set(i, shuffle_xor(c, 1));
    w.set(i, ballot(a > 0.0));
}

/// Barriers.
#[derive(Name)]
pub struct Barriers;
spec!(Barriers, None_, 64);

#[kernel]
fn barriers(_k: &Barriers, y: InOut<F32>) {
    let stage = shared::<F32>("stage", 64);
    let i = thread();
    stage.set(i, y.at(i));
    barrier();
    y.set(i, stage.at(i ^ 63));
    barrier_all();
    stage.set(i, y.at(i ^ 1));
    simd_barrier();
    y.set(i, stage.at(i ^ 2));
}
