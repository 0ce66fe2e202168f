//! Mixtures of experts, by pairs and by tiles, against plain sums.

mod common;

use common::{close, floats, random, read, read_words, result, run};
use tessera_graph::{
    Activation, ExpertUnit, GatedUnit,
    oracle::{activate, gated},
};
use tessera_kernels::{
    codes::Matrix,
    end::End,
    experts::{
        matmul::ExpertMatmul,
        mix::{ExpertMix, ExpertMixArgs},
        product::{ExpertProduct, ExpertProductArgs},
        sort::{ExpertSort, ExpertSortArgs},
        sum::{ExpertSum, ExpertSumArgs},
    },
    matmul::{Matmul, MatmulArgs},
    unit::Unit,
};
use tessera_quant::{Float, Packing, Weight, encode};
use tessera_tile::{Spec, ir::Elem, sim::Memory};

/// Routes of `rows` rows to `k` different experts, most of them among the first few.
fn routes(seed: u64, rows: usize, experts: usize, k: usize) -> Vec<f32> {
    let mut out = Vec::new();
    for row in 0..rows {
        let draws = random(seed + row as u64, experts);
        let mut ids: Vec<usize> = (0..experts).collect();
        ids.sort_by(|&a, &b| {
            let key = |e: usize| draws[e].abs() * (1.0 + e as f32 / 4.0);
            key(a).total_cmp(&key(b))
        });
        out.extend(ids[..k].iter().map(|&e| e as f32));
        out.extend(random(seed ^ 77, k).iter().map(|x| x.abs() + 0.1));
    }
    out
}

/// Stacked matrices with their planes and biases.
struct Stack {
    weight: Weight,
    planes: Vec<Memory>,
    bias: Vec<f32>,
}

fn stack(seed: u64, packing: Packing, rows: usize, cols: usize) -> Stack {
    let weight = encode(packing, rows, cols, &random(seed, rows * cols)).expect("encodes");
    let packed = Matrix::of(&weight).pack(&weight).expect("finite");
    let planes = packed.planes.iter().map(|plane| Memory::of(plane)).collect();
    Stack { weight, planes, bias: random(seed + 1, rows) }
}

impl Stack {
    /// `rows` of expert `e` times `x`.
    fn product(&self, e: usize, rows: usize, x: &[f32], bias: bool) -> Vec<f32> {
        let mut row = vec![0.0; self.weight.cols];
        let one = |r: usize| {
            self.weight.decode_row(e * rows + r, &mut row);
            let sum: f64 = x.iter().zip(&row).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum();
            (sum + if bias { f64::from(self.bias[e * rows + r]) } else { 0.0 }) as f32
        };
        (0..rows).map(one).collect()
    }
}

/// Shape of a mixture.
#[derive(Debug, Clone, Copy)]
struct Case {
    packing: Packing,
    unit: ExpertUnit,
    experts: usize,
    k: usize,
    /// Columns of gate and up.
    hidden: usize,
    /// Rows of gate and up.
    width: usize,
    rows: usize,
    bias: bool,
}

/// Runs it all, by pairs and by tiles of `tile`.
fn check(case: Case, simd_rows: u32, tile: u32) {
    let Case { packing, unit, experts, k, hidden, width, rows, bias } = case;
    let (kernel_unit, limits) = Unit::of(unit);
    // an expert's gate, and under it what it lets through
    let all = width * if kernel_unit.is_gated() { 2 } else { 1 };
    let up = stack(3, packing, experts * all, hidden);
    let down = stack(5, packing, experts * hidden, width);
    let (x, routes) = (random(8, rows * hidden), routes(11, rows, experts, k));

    let mut inner = Vec::new();
    let mut wanted = Vec::new();
    for (x, routes) in x.chunks(hidden).zip(routes.chunks(2 * k)) {
        let mut sum = vec![0.0f64; hidden];
        for (&e, &share) in routes[..k].iter().zip(&routes[k..]) {
            let e = e as usize;
            let ups = up.product(e, all, x, bias);
            let made: Vec<f32> = match unit {
                ExpertUnit::Gated(unit) => {
                    let (gates, ups) = ups.split_at(width);
                    gates.iter().zip(ups).map(|(&g, &u)| gated(unit, g, u)).collect()
                }
                ExpertUnit::Plain(f) => ups.iter().map(|&u| activate(f, u)).collect(),
            };
            let product = down.product(e, hidden, &made, bias);
            for (sum, y) in sum.iter_mut().zip(product) {
                *sum += f64::from(share) * f64::from(y);
            }
            inner.extend(made);
        }
        wanted.extend(sum.into_iter().map(|y| y as f32));
    }

    let what = format!("{case:?}");
    let pairs = (rows * k) as u32;
    let (x, routes) = (floats(&x), floats(&routes));
    let (up_bias, down_bias) = (floats(&up.bias), floats(&down.bias));
    let (matrix, ragged) = (Matrix::of(&up.weight), !hidden.is_multiple_of(32));

    // few rows
    let first = ExpertProduct {
        matrix,
        unit: kernel_unit,
        k: k as u32,
        bias,
        ragged,
        rows: simd_rows,
        simdgroups: 2,
    };
    let args = ExpertProductArgs {
        experts: experts as u32,
        rows: all as u32,
        cols: hidden as u32,
        pairs,
        alpha: limits.alpha,
        limit: limits.limit,
    };
    let made = result(inner.len());
    let mut buffers = vec![&x, &routes];
    buffers.extend(&up.planes);
    buffers.extend(bias.then_some(&up_bias));
    buffers.push(&made);
    run(&first, &args, &buffers);
    close(&format!("{what} {first:?}"), &read(&made), &inner, 5e-6);
    let ragged = !width.is_multiple_of(32);
    let sum = ExpertSum { matrix, k: k as u32, bias, ragged, rows: simd_rows, simdgroups: 2 };
    let y = result(wanted.len());
    let mut buffers = vec![&made, &routes];
    buffers.extend(&down.planes);
    buffers.extend(bias.then_some(&down_bias));
    buffers.push(&y);
    let (hidden_rows, cols) = (hidden as u32, width as u32);
    let sum_args =
        ExpertSumArgs { experts: experts as u32, rows: hidden_rows, cols, step_rows: rows as u32 };
    run(&sum, &sum_args, &buffers);
    close(&what, &read(&y), &wanted, 5e-6);

    // many rows
    let sort = ExpertSort { experts: experts as u32, k: k as u32, tile, threads: 64 };
    let items = sort.tiles(pairs);
    let (order, tiles) = (result(pairs as usize), result(items as usize * 4));
    run(&sort, &ExpertSortArgs { pairs, tiles: items }, &[&routes, &order, &tiles]);
    for stage in [Elem::F32, Elem::F16] {
        let product = Matmul {
            matrix,
            vectors: tile,
            rows: 16 * simd_rows,
            down: 1,
            across: simd_rows,
            steps: 1,
            // weights copied ahead are the same
            depth: if stage == Elem::F16 { 2 } else { 1 },
            stage,
            ragged: !hidden.is_multiple_of(32),
            bias,
            end: End::Unit(kernel_unit),
        };
        let tiled = ExpertMatmul { product, shared: k as u32 };
        let by = |kernel: &ExpertMatmul, x, stack: &Stack, bias_of, (rows, cols), y: &Memory| {
            let args = MatmulArgs {
                rows: rows as u32,
                cols: cols as u32,
                vectors: items,
                alpha: limits.alpha,
                limit: limits.limit,
                ..MatmulArgs::default()
            };
            let mut buffers = vec![x, &order, &tiles];
            buffers.extend(&stack.planes);
            buffers.extend(bias.then_some(bias_of));
            buffers.push(y);
            run(kernel, &args, &buffers);
        };
        // operands of eleven significant bits
        let limit = if stage == Elem::F16 { 1e-2 } else { 1e-5 };
        let made = result(inner.len());
        by(&tiled, &x, &up, &up_bias, (all, hidden), &made);
        close(&format!("{what} {tiled:?}"), &read(&made), &inner, limit);
        let end = End::Parts(1);
        let product = Matmul { ragged, end, ..product };
        let second = ExpertMatmul { product, shared: 1 };
        let apart = result(pairs as usize * hidden);
        by(&second, &made, &down, &down_bias, (hidden, width), &apart);
        let mix = ExpertMix { k: k as u32, threads: 32 };
        let y = result(wanted.len());
        let mix_args = ExpertMixArgs { width: hidden_rows, rows: rows as u32 };
        run(&mix, &mix_args, &[&apart, &routes, &y]);
        close(&what, &read(&y), &wanted, limit);
    }
}

const CASE: Case = Case {
    packing: Packing::Dense(Float::BF16),
    unit: ExpertUnit::Gated(GatedUnit::Of(Activation::Silu)),
    experts: 5,
    k: 2,
    hidden: 64,
    width: 32,
    rows: 3,
    bias: false,
};

#[test]
fn every_packing() {
    for packing in Packing::all() {
        let block = packing.block().max(32);
        let (experts, rows) = (3, 2);
        check(Case { packing, experts, rows, hidden: block, width: block, ..CASE }, 1, 16);
    }
}

#[test]
fn every_unit() {
    let clipped = GatedUnit::Clipped { alpha: 1.702, limit: 0.5 };
    for unit in [
        ExpertUnit::Gated(clipped),
        ExpertUnit::Gated(GatedUnit::Of(Activation::Gelu)),
        ExpertUnit::Gated(GatedUnit::Of(Activation::GeluTanh)),
        ExpertUnit::Plain(Activation::Relu2),
        ExpertUnit::Plain(Activation::Silu),
    ] {
        for bias in [false, true] {
            check(Case { unit, bias, ..CASE }, 2, 16);
        }
    }
}

#[test]
fn remainders() {
    for (experts, k, hidden, width, rows) in
        [(1, 1, 1, 1, 1), (3, 3, 33, 7, 9), (9, 4, 20, 70, 5), (17, 2, 31, 33, 23)]
    {
        let case = Case { experts, k, hidden, width, rows, bias: true, ..CASE };
        check(case, 2, 32);
        check(case, 1, 16);
    }
    let packing = Packing::Affine { bits: 4, group: 32, scale: Float::F16 };
    check(Case { packing, hidden: 1088, width: 96, rows: 2, ..CASE }, 4, 16);
}

/// The order of the pairs, and tiles of what lies together.
#[test]
fn sorting() {
    for (experts, k, rows, tile, threads) in [
        (1, 1, 1, 8, 32),
        (1, 1, 70, 8, 64),
        (2, 2, 33, 8, 96),
        (8, 3, 100, 4, 128),
        (40, 6, 50, 8, 32),
        (300, 8, 64, 8, 64),
        (512, 4, 3, 8, 64),
    ] {
        let routes = routes(experts as u64, rows, experts, k);
        let kernel = ExpertSort { experts: experts as u32, k: k as u32, tile, threads };
        let pairs = (rows * k) as u32;
        let limit = kernel.tiles(pairs);
        let (order, tiles) = (result(pairs as usize), result(limit as usize * 4));
        let args = ExpertSortArgs { pairs, tiles: limit };
        run(&kernel, &args, &[&floats(&routes), &order, &tiles]);
        let expert = |pair: &u32| {
            let pair = *pair as usize;
            routes[pair / k * 2 * k + pair % k] as usize
        };
        let mut wanted: Vec<u32> = (0..pairs).collect();
        wanted.sort_by_key(expert);
        assert_eq!(read_words(&order), wanted, "{kernel:?}");
        let mut stretches = Vec::new();
        let mut first = 0;
        for of_one in wanted.chunk_by(|a, b| expert(a) == expert(b)) {
            for part in of_one.chunks(tile as usize) {
                stretches.extend([expert(&part[0]) as u32, first, part.len() as u32, 0]);
                first += part.len() as u32;
            }
        }
        stretches.resize(limit as usize * 4, 0);
        assert_eq!(read_words(&tiles), stretches, "{kernel:?}");
    }
}

#[test]
fn what_it_cannot_do_is_refused() {
    let sort = ExpertSort { experts: 4, k: 2, tile: 8, threads: 32 };
    assert!(sort.check(&ExpertSortArgs { pairs: 6, tiles: sort.tiles(6) }).is_ok());
    assert!(sort.check(&ExpertSortArgs { pairs: 5, tiles: sort.tiles(5) }).is_err());
    assert!(sort.check(&ExpertSortArgs { pairs: 6, tiles: 1 }).is_err());
    let many = ExpertSort { experts: 513, ..sort };
    assert!(many.check(&ExpertSortArgs { pairs: 6, tiles: many.tiles(6) }).is_err());
    let matrix = Matrix { form: Packing::Dense(Float::F32).form() };
    let sum = ExpertSum { matrix, k: 2, bias: false, ragged: false, rows: 1, simdgroups: 1 };
    let args = ExpertSumArgs { experts: 2, rows: 8, cols: 33, step_rows: 1 };
    assert!(sum.check(&args).is_err());
    assert!(ExpertSum { ragged: true, ..sum }.check(&args).is_ok());
}
