//! `c = a * b^T` by matrix tiles: 32 x 32 elements a threadgroup, 16 x 16 a simdgroup, operands staged in shared memory.

use tessera_tile::{ir::Elem, prelude::*};

use super::case::{Case, Draw, Expected, bytes_f16};

#[derive(Name)]
struct Matmul;

#[derive(Clone, Copy, tessera_tile::Args)]
struct MatmulArgs {
    m: u32,
    n: u32,
    k: u32,
}

/// Rows and columns of a threadgroup.
const BLOCK: u32 = 32;

/// Elements from row to row of a staged operand.
const STRIDE: u32 = 24;

/// Elements from row to row of the staged result.
const OUT_STRIDE: u32 = 40;

impl Spec for Matmul {
    type Args = MatmulArgs;
    fn threads(&self) -> u32 {
        128
    }
    fn grid(&self, a: &MatmulArgs) -> [u32; 3] {
        [a.n.div_ceil(BLOCK), a.m.div_ceil(BLOCK), 1]
    }
    fn check(&self, _: &MatmulArgs) -> Result<(), String> {
        Ok(())
    }
}

/// Copies 32 rows of 16 elements from `(row, k)` on; zeros beyond the edges.
#[device]
fn stage(
    from: In<F16>,
    to: Shared<F16>,
    row: Val<u32>,
    rows: Val<u32>,
    k: Val<u32>,
    depth: Val<u32>,
) {
    for i in (thread()..BLOCK * TILE).step_by(threads()) {
        let r = i / TILE;
        let c = i % TILE;
        let mut value = 0.0f32;
        if row + r < rows {
            if k + c < depth {
                value = from.at((row + r) * depth + (k + c));
            }
        }
        to.set(r * STRIDE + c, value);
    }
}

#[kernel]
fn matmul_kernel(_k: &Matmul, a: In<F16>, b: In<F16>, c: Out<F16>, args: Args<MatmulArgs>) {
    let a_block = shared::<F16>("a_block", BLOCK * STRIDE);
    let b_block = shared::<F16>("b_block", BLOCK * STRIDE);
    let out = shared::<F32>("out", BLOCK * OUT_STRIDE);
    let first_row = group(1) * BLOCK;
    let first_column = group(0) * BLOCK;
    let tile_row = simdgroup() / 2 * TILE;
    let tile_column = simdgroup() % 2 * TILE;
    let sum = Tile::sum(0.0);
    for k in (val(0u32)..args.k).step_by(TILE) {
        stage(a, a_block, first_row, args.m, k, args.k);
        stage(b, b_block, first_column, args.n, k, args.k);
        barrier();
        let left = Tile::left(a_block, tile_row * STRIDE, STRIDE);
        let right = Tile::right_transposed(b_block, tile_column * STRIDE, STRIDE);
        sum.multiply_add(left, right);
        barrier();
    }
    sum.store(out, tile_row * OUT_STRIDE + tile_column, OUT_STRIDE);
    barrier();
    for i in (thread()..BLOCK * BLOCK).step_by(threads()) {
        let row = first_row + i / BLOCK;
        let column = first_column + i % BLOCK;
        if row < args.m {
            if column < args.n {
                c.set(row * args.n + column, out.at(i / BLOCK * OUT_STRIDE + i % BLOCK));
            }
        }
    }
}

pub fn matmul(m: usize, n: usize, k: usize) -> Case {
    let mut draw = Draw::new((m * n * k) as u64);
    let (a, b) = (draw.halves(m * k), draw.halves(n * k));
    let mut c = Vec::new();
    for row in a.chunks(k) {
        c.extend(b.chunks(k).map(|column| {
            row.iter().zip(column).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum::<f64>()
        }));
    }
    let buffers = vec![bytes_f16(&a), bytes_f16(&b), vec![0x55; 2 * m * n]];
    let args = MatmulArgs { m: m as u32, n: n as u32, k: k as u32 };
    Case::new(&Matmul, args, buffers, vec![(2, Expected::Near(Elem::F16, c, 1e-3))])
}
