//! Matrix tiles, and two kernels as they are in models.

use super::*;

/// c = a * b of 16 rows, 32 columns, with tiles.
#[derive(Name)]
pub struct Matmul {
    pub elem: Elem,
    pub transposed: bool,
}
spec!(Matmul, Len, 64);

#[kernel]
fn matmul(
    k: &Matmul,
    #[of(k.elem)] a: In<AnyFloat>,
    #[of(k.elem)] b: In<AnyFloat>,
    c: Out<F32>,
    args: Args<Len>,
) {
    let left = shared_of::<AnyFloat>("left", k.elem, 16 * 24);
    let right =
        shared_of::<AnyFloat>("right", k.elem, if k.transposed { 32 * 24 } else { 16 * 40 });
    let result = shared::<F32>("result", 16 * 40);
    let side = simdgroup() * 16;
    let sum = Tile::sum(0.0);
    for step in (0..args.len).step_by(16u32) {
        for i in (thread()..256).step_by(64u32) {
            left.set(i / 16 * 24 + i % 16, a.at(i / 16 * args.len + step + i % 16));
        }
        for i in (thread()..512).step_by(64u32) {
            if k.transposed {
                right.set(i / 16 * 24 + i % 16, b.at(i / 16 * args.len + step + i % 16));
            } else {
                right.set(i / 32 * 40 + i % 32, b.at((step + i / 32) * 32 + i % 32));
            }
        }
        barrier();
        let x = Tile::left(left, 0, 24);
        let y = if k.transposed {
            Tile::right_transposed(right, side * 24, 24)
        } else {
            Tile::right(right, side, 40)
        };
        sum.multiply_add(x, y);
        barrier();
    }
    sum.store(result, side, 40);
    barrier();
    for i in (thread()..512).step_by(64u32) {
        c.set(i, result.at(i / 32 * 40 + i % 32));
    }
}

/// y = x / rms(x) * weight
#[derive(Name)]
pub struct RmsNorm {
    pub elem: Elem,
}

/// Its arguments.
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct RmsNormArgs {
    pub width: u32,
    pub epsilon: f32,
}
spec!(RmsNorm, RmsNormArgs, 128);

#[kernel]
fn rms_norm(
    k: &RmsNorm,
    x: In<F32>,
    #[of(k.elem)] weight: In<AnyFloat>,
    y: Out<F32>,
    a: Args<RmsNormArgs>,
) {
    let partial = shared::<F32>("partial", simdgroups());
    let row = group(0) * a.width;
    let mut squares = 0.0;
    for i in (thread() * 4..a.width).step_by(threads() * 4) {
        for v in x.load::<4>(row + i) {
            squares = fma(v, v, squares);
        }
    }
    let sum = simd_sum(squares);
    if lane() == 0 {
        partial.set(simdgroup(), sum);
    }
    barrier();
    let mut total = 0.0;
    for s in 0..simdgroups() {
        total += partial.at(s);
    }
    let scale = rsqrt(total / a.width.f32() + a.epsilon);
    for i in (thread() * 4..a.width).step_by(threads() * 4) {
        let v = x.load::<4>(row + i);
        let w = weight.load::<4>(i);
        y.store(row + i, [0, 1, 2, 3].map(|j| v[j] * scale * w[j]));
    }
}

/// y = W x, of 4-bit weights in groups of 32 with scale and bias.
#[derive(Name)]
pub struct Matvec {
    pub rows: u32,
}

/// Its arguments.
#[derive(Debug, Clone, Copy, tessera_tile::Args)]
pub struct MatvecArgs {
    pub columns: u32,
    pub rows: u32,
}
spec!(Matvec, MatvecArgs, 64);

#[kernel]
fn matvec(
    k: &Matvec,
    codes: In<U32>,
    scales: In<F16>,
    biases: In<F16>,
    x: In<F16>,
    y: Out<F32>,
    a: Args<MatvecArgs>,
) {
    let first = (group(0) * simdgroups() + simdgroup()) * k.rows;
    let mut sums = [val(0.0); 2];
    for g in (lane()..a.columns / 32).step_by(32u32) {
        let inputs = [0u32, 1, 2, 3].map(|part| x.load::<8>(g * 32 + part * 8));
        for r in 0..k.rows {
            let row = min::<u32>(first + r, a.rows - 1);
            let words = codes.load::<4>((row * (a.columns / 32) + g) * 4);
            let mut dot = 0.0;
            let mut all = 0.0;
            for (w, word) in words.into_iter().enumerate() {
                for nibble in 0..8u32 {
                    let input = inputs[w][nibble as usize];
                    dot = fma((word >> (4 * nibble) & 15).f32(), input, dot);
                    all += input;
                }
            }
            let at = row * (a.columns / 32) + g;
            sums[r as usize] += scales.at(at) * dot + biases.at(at) * all;
        }
    }
    for r in 0..k.rows {
        let sum = simd_sum(sums[r as usize]);
        if (lane() == 0) & (first + r < a.rows) {
            y.set(first + r, sum);
        }
    }
}
