//! Staged copies.

use super::*;

/// Sums over blocks of what the next thread staged, through a ring of `depth` slots.
#[derive(Name)]
pub struct Ring {
    pub depth: u32,
}
spec!(Ring, Len, 64);

#[kernel]
fn ring(k: &Ring, x: In<F16>, y: Out<F32>, a: Args<Len>) {
    let ring = shared::<F16>("ring", k.depth * 8 * threads());
    let slot = 8 * threads();
    for ahead in 0..k.depth - 1 {
        let from = ahead * slot + thread() * 8;
        ring.stage_if::<8>(val(ahead) < a.len, from, x, from);
        commit_staged();
    }
    let other = (thread() + 1) % threads() * 8;
    let mut sum = 0.0;
    for block in 0..a.len {
        wait_staged(k.depth - 2);
        barrier();
        let next = block + (k.depth - 1);
        ring.stage_if::<8>(
            next < a.len,
            next % k.depth * slot + thread() * 8,
            x,
            next * slot + thread() * 8,
        );
        commit_staged();
        for v in ring.load::<8>(block % k.depth * slot + other) {
            sum += v;
        }
    }
    wait_staged(0);
    y.set(thread(), sum);
}

/// Copies of 4, 8 and 16 bytes, of several types.
#[derive(Name)]
pub struct Staged;
spec!(Staged, None_, 32);

#[kernel]
fn staged(_k: &Staged, x: In<F32>, b: In<U8>, h: In<BF16>, y: Out<F32>) {
    let singles = shared::<F32>("singles", 128);
    let bytes = shared::<U8>("bytes", 512);
    let halves = shared::<BF16>("halves", 128);
    let i = thread();
    singles.stage::<1>(i, x, i);
    bytes.stage::<16>(i * 16, b, i * 16);
    commit_staged();
    halves.stage_if::<4>(i < 20, i * 4, h, i * 4);
    commit_staged();
    // what is loaded of it stays behind the wait
    wait_staged(1);
    let held = [singles.at(i)];
    wait_staged(0);
    y.set(i, held[0] + bytes.at(i * 16 + 3).f32());
    y.set(i + 32, halves.at(i * 4 + 1));
}
