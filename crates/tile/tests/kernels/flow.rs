//! Branches, loops, variables and names.

use super::*;

/// y = factor * x
#[derive(Name)]
pub struct Scaled;

/// Its arguments.
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct ScaledArgs {
    pub len: u32,
    pub factor: f32,
    pub shift: i32,
}
spec!(Scaled, ScaledArgs, 64);

#[kernel]
fn scaled(_k: &Scaled, x: In<F32>, y: Out<F32>, a: Args<ScaledArgs>) {
    let i = group(0) * threads() + thread();
    if i < a.len {
        y.set(i, x.at(i) * a.factor + a.shift.f32());
    }
}

/// Branches and loops.
#[derive(Name)]
pub struct Branches;
spec!(Branches, Len, 32);

#[kernel]
fn branches(_k: &Branches, x: In<F32>, y: InOut<F32>, a: Args<Len>) {
    let i = thread();
    let mut acc = 0.0;
    for k in (i..a.len).step_by(32u32) {
        let v = x.at(k);
        if v > 1.0 {
            acc += v;
        } else if v < -1.0 {
            acc -= v * 2.0;
        } else {
            acc = v;
        }
    }
    for k in (i..a.len).step_by(i + 64) {
        for j in 0..k {
            acc *= x.at(j + k);
        }
    }
    if i == 0 {
    } else {
        acc += 1.0;
    }
    let mut parts = [val(0.0), val(1.0)];
    for r in 0..2usize {
        parts[r] += acc;
        if r == 1 {
            parts[0] -= parts[1];
        }
    }
    y.set(i, parts[0] + parts[1]);
}

/// What must not be moved.
#[derive(Name)]
pub struct Order;
spec!(Order, Len, 32);

#[kernel]
fn order(_k: &Order, x: In<F32>, y: InOut<F32>, z: Out<F32>, a: Args<Len>) {
    let stage = shared::<F32>("stage", 32);
    let i = thread();
    let mut n = a.len;
    let mut acc = 0.0;
    // read before it changes
    let pair = [n.get() * 2, n.get() + 1];
    n += 1;
    z.set(pair[0], acc);
    // not changed in between
    let late = [n.get() * 3];
    acc += 1.0;
    z.set(late[0], acc);
    // loads before stores to the same memory, to one that may be the same, and after barriers
    let old = [y.at(i), x.at(i)];
    z.set(i, 0.0);
    z.set(i + 1, old[0] + old[1]);
    stage.set(i, acc);
    barrier();
    let staged = [stage.at(i)];
    z.set(i, acc);
    z.set(i, staged[0]);
    let fresh = [stage.at(i + 1)];
    barrier();
    stage.set(i, fresh[0]);
    // the bounds of a loop are what they were at its beginning
    for k in 0..n {
        n += k;
    }
    let bound = x.at(0).u32();
    for k in i..bound + n {
        acc += k.f32();
    }
    for k in 0..x.at(3).u32() {
        acc += k.f32();
    }
    // used within a block only, and used twice
    let twice = [acc * 2.0, acc * 4.0];
    if i < n {
        z.set(i, twice[0]);
    }
    z.set(i, twice[1] * twice[1]);
    // nobody wants it
    let _unused = x.at(i) * 7.0;
    let mut long = val(0.0);
    long += x.at(i)
        + x.at(i + 1)
        + x.at(i + 2)
        + x.at(i + 3)
        + x.at(i + 4)
        + x.at(i + 5)
        + x.at(i + 6)
        + x.at(i + 7)
        + x.at(i + 8)
        + x.at(i + 9);
    z.set(i, long);
}

/// Names that mean something else.
#[derive(Name)]
pub struct Words;

/// Its arguments.
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct WordsArgs {
    pub half: u32,
    pub float4: f32,
    pub r#struct: i32,
    pub len: u32,
}
spec!(Words, WordsArgs, 32);

#[kernel]
fn words(_k: &Words, device: In<F32>, half: Out<F32>, args: Args<WordsArgs>) {
    let float4 = shared::<F32>("threadgroup", 32);
    let thread = thread();
    let lane = lane();
    let group = group(1);
    let kernel = device.at(thread) + args.float4;
    let r#struct = device.at(lane) + args.r#struct.f32();
    let simdgroup = simdgroup();
    let _hidden = kernel * r#struct;
    let mut constant = _hidden;
    let x = device.at(args.half);
    constant += x;
    let x = device.at(args.len);
    constant += x;
    float4.set(thread, constant);
    float4.set(thread, x);
    half.set(group + simdgroup, constant);
}
