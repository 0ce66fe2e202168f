//! The kernels of tessera-kernels, each at several sizes.

use tessera_graph::{Activation, Scoring};
use tessera_kernels::{
    append::{Append, AppendArgs},
    attend::{self, Attend, AttendArgs},
    attend_join::{AttendJoin, AttendJoinArgs},
    cache::Cache,
    codes::Matrix,
    embed::{Embed, EmbedArgs},
    matvec::{Matvec, MatvecArgs},
    pointwise::{Op, Pointwise, PointwiseArgs},
    rms_norm::{RmsNorm, RmsNormArgs},
    rope::{Rope, RopeArgs, RopeTable, RopeTableArgs},
    route::{Route, RouteArgs},
    select::{Select, SelectArgs},
    sight::Sight,
    tables::PAGE,
    unit::Unit,
};
use tessera_quant::{Float, Packing, encode};
use tessera_tile::ir::Elem;

use crate::case::{Case, noise, words, zeros};

/// All of them, or a few of each kind.
pub fn all(quick: bool) -> Vec<Case> {
    let affine = Packing::Affine { bits: 4, group: 64, scale: Float::F16 };
    let few = [Packing::Dense(Float::BF16), affine, Packing::Mxfp4];
    let packings: Vec<_> = if quick { few.to_vec() } else { Packing::all().collect() };
    let mut cases = Vec::new();
    for packing in packings {
        let block = packing.block().max(32);
        for (rows, cols) in [(7, block), (33, block * 5), (40, 4096)] {
            cases.push(matvec(packing, rows, cols, 1, |kernel| kernel));
        }
        cases.push(embed(packing, 5, block * 3));
    }
    for rows in [1, 2, 5, 8, 9] {
        cases.push(matvec(affine, rows, 1088 + 64, 3, |kernel| Matvec {
            batch: 2,
            bias: true,
            residual: true,
            ..kernel
        }));
    }
    for (rows, simdgroups, batch) in [(1, 8, 1), (4, 2, 4), (8, 1, 8)] {
        cases.push(matvec(affine, 100, 2048, 9, |kernel| Matvec {
            rows,
            simdgroups,
            batch,
            ..kernel
        }));
    }
    for cols in [1, 31, 33, 70] {
        cases.push(matvec(Packing::Dense(Float::F32), 5, cols, 5, |kernel| Matvec {
            rows: 4,
            batch: 4,
            ..kernel
        }));
    }
    norms(&mut cases);
    ropes(&mut cases);
    attention(&mut cases);
    pointwise(&mut cases);
    routes(&mut cases);
    let (x, rows_of) = (noise(1, 5 * 300), words(&[4, 0, 3]));
    let args = SelectArgs { rows: 3, width: 300 };
    cases.push(Case::new("3 of 5", &Select, &args, vec![x, rows_of, zeros(900)]));
    cases
}

/// A matrix, laid out: its packing, and its planes.
fn planes(packing: Packing, rows: usize, cols: usize) -> (Matrix, Vec<Vec<u8>>) {
    let values = crate::case::random(7, rows * cols);
    let weight = encode(packing, rows, cols, &values).expect("encodes");
    let matrix = Matrix::of(&weight);
    (matrix, matrix.pack(&weight).expect("finite").planes)
}

fn matvec(
    packing: Packing,
    rows: usize,
    cols: usize,
    vectors: usize,
    kernel: impl Fn(Matvec) -> Matvec,
) -> Case {
    let (matrix, planes) = planes(packing, rows, cols);
    let plain = Matvec {
        matrix,
        rows: 2,
        simdgroups: 2,
        batch: 1,
        ragged: !cols.is_multiple_of(32),
        bias: false,
        residual: false,
    };
    let kernel = kernel(plain);
    let mut buffers = vec![noise(3, vectors * cols)];
    buffers.extend(planes);
    buffers.extend(kernel.bias.then(|| noise(4, rows)));
    buffers.extend(kernel.residual.then(|| noise(5, vectors * rows)));
    buffers.push(zeros(vectors * rows));
    let args = MatvecArgs { rows: rows as u32, cols: cols as u32, vectors: vectors as u32 };
    Case::new(format!("{rows} x {cols}, {vectors} vectors"), &kernel, &args, buffers)
}

fn embed(packing: Packing, rows: usize, cols: usize) -> Case {
    let (matrix, planes) = planes(packing, 9, cols);
    let tokens: Vec<u32> = (0..rows as u32).map(|i| i * 5 % 9).collect();
    let mut buffers = vec![words(&tokens)];
    buffers.extend(planes);
    buffers.push(zeros(rows * cols));
    let args = EmbedArgs { rows: rows as u32, cols: cols as u32, vocab: 9, scale: 1.5 };
    Case::new(format!("9 x {cols}"), &Embed { matrix, ragged: false }, &args, buffers)
}

fn norms(cases: &mut Vec<Case>) {
    for (heads, width, rows, per_head, threads) in [
        (1, 1, 1, false, 32),
        (1, 4096, 3, false, 256),
        (3, 70, 2, false, 32),
        (4, 33, 3, true, 96),
    ] {
        let kernel = RmsNorm { per_head, threads };
        let x = noise(1, rows * heads * width);
        let weight = noise(2, if per_head { heads * width } else { width });
        let y = zeros(rows * heads * width);
        let [width, heads, rows] = [width, heads, rows].map(|n| n as u32);
        let args = RmsNormArgs { width, heads, rows, eps: 1e-5, offset: 1.0 };
        cases.push(Case::new(
            format!("{rows} x {heads} x {width}"),
            &kernel,
            &args,
            vec![x, weight, y],
        ));
    }
}

fn ropes(cases: &mut Vec<Case>) {
    let (rows, pairs, heads, head_dim) = (4usize, 48usize, 5usize, 128usize);
    let positions = words(&[0, 1, 700, 130_000]);
    let frequencies: Vec<f32> =
        (0..pairs).map(|i| 1e4f32.powf(-(i as f32) / pairs as f32)).collect();
    let [r, p, h, d] = [rows, pairs, heads, head_dim].map(|n| n as u32);
    let args = RopeTableArgs { rows: r, pairs: p, scale: 1.25 };
    let table = vec![positions, crate::case::floats(&frequencies), zeros(rows * pairs * 2)];
    cases.push(Case::new("4 rows", &RopeTable, &args, table));
    let args = RopeArgs { rows: r, heads: h, head_dim: d, pairs: p };
    let len = rows * heads * head_dim;
    let buffers = vec![noise(1, len), noise(2, rows * pairs * 2), zeros(len)];
    cases.push(Case::new("4 rows", &Rope, &args, buffers));
}

/// Two runs over pages that lie in disorder.
fn attention(cases: &mut Vec<Case>) {
    let (kv_heads, pages, rows) = (2u32, 12u32, 3u32);
    let (positions, run_of) = (words(&[600, 601, 70]), words(&[0, 0, 1]));
    let (starts, table) = (words(&[0, 10]), words(&[3, 11, 0, 7, 5, 1, 9, 2, 4, 10, 8, 6]));
    for (elem, head_dim, group) in [(Elem::F16, 128, 4), (Elem::BF16, 64, 3), (Elem::F32, 128, 1)] {
        let cache = Cache { elem, head_dim };
        let page = (2 * kv_heads * PAGE * head_dim) as usize;
        let held: Vec<u8> = crate::case::random(9, page * pages as usize)
            .into_iter()
            .flat_map(|x| match elem {
                Elem::F32 => x.to_le_bytes().to_vec(),
                Elem::BF16 => x.to_le_bytes()[2..].to_vec(),
                // halves of a few bits: sign, exponent of 0.5, four bits
                _ => ((x.to_bits() >> 16 & 0x8000) as u16
                    | 0x3800
                    | (x.to_bits() >> 13 & 0x3c0) as u16)
                    .to_le_bytes()
                    .to_vec(),
            })
            .collect();
        let keys = (rows * kv_heads * head_dim) as usize;
        let tables = || vec![positions.clone(), run_of.clone(), starts.clone(), table.clone()];
        let mut buffers = vec![noise(1, keys), noise(2, keys)];
        buffers.extend(tables());
        buffers.push(held.clone());
        let args = AppendArgs { rows, kv_heads };
        cases.push(Case::new("3 rows", &Append { cache, threads: 64 }, &args, buffers));
        for window in [None, Some(300)] {
            let sight = Sight { window: window.is_some(), tree: false };
            let split = attend::SPLIT;
            let splits = attend::splits(split, 640, window);
            let heads = kv_heads * group;
            let kernel = Attend {
                cache,
                group,
                share: group,
                split,
                threads: 128,
                sight,
                softcap: window.is_some(),
            };
            let (queries, out) =
                ((rows * heads * head_dim) as usize, (rows * heads * splits) as usize);
            let mut buffers = vec![noise(3, queries)];
            buffers.extend(tables());
            buffers.extend([held.clone(), zeros(out * 2), zeros(out * head_dim as usize)]);
            let window = window.unwrap_or(0);
            let args = AttendArgs {
                rows,
                kv_heads,
                splits,
                scale: 0.1,
                window,
                softcap: 30.0,
                mask_words: 0,
            };
            cases.push(Case::new("3 rows", &kernel, &args, buffers));
            let kernel = AttendJoin { head_dim, split, threads: 128, sight, sinks: sight.window };
            let mut buffers =
                vec![noise(4, out * 2), noise(5, out * head_dim as usize), positions.clone()];
            // the sums of weights, every other, are positive
            buffers[0].chunks_exact_mut(8).for_each(|pair| pair[7] &= 0x7f);
            buffers.extend(kernel.sinks.then(|| noise(6, heads as usize)));
            buffers.push(zeros(queries));
            let args = AttendJoinArgs { rows, heads, splits, window, mask_words: 0 };
            cases.push(Case::new("3 rows", &kernel, &args, buffers));
        }
    }
}

fn pointwise(cases: &mut Vec<Case>) {
    let activations = [
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Sigmoid,
        Activation::Relu2,
    ];
    let units = activations.into_iter().flat_map(|a| [Unit::Gated(a), Unit::Plain(a)]);
    let units = units.chain([Unit::Clipped]).map(Op::Unit);
    for op in units.chain([Op::Add, Op::Mul, Op::MulByOne, Op::Scale, Op::Softcap]) {
        let (rows, width) = (3usize, 1000usize);
        let big = |seed| {
            let values: Vec<f32> =
                crate::case::random(seed, rows * width).iter().map(|x| x * 8.0).collect();
            crate::case::floats(&values)
        };
        let mut buffers = vec![big(1)];
        buffers.extend(op.has_two().then(|| big(2)));
        buffers.push(zeros(rows * width));
        let args =
            PointwiseArgs { rows: rows as u32, width: width as u32, factor: 1.7, limit: 7.0 };
        cases.push(Case::new("3 x 1000", &Pointwise { op }, &args, buffers));
    }
}

fn routes(cases: &mut Vec<Case>) {
    for (experts, k, scoring, bias) in [
        (8, 2, Scoring::Softmax, false),
        (128, 8, Scoring::Softmax, true),
        (256, 8, Scoring::Sigmoid, true),
    ] {
        let kernel =
            Route { experts, k, scoring, bias, groups: None, normalise: true, simdgroups: 4 };
        let rows = 5;
        let mut buffers = vec![noise(1, rows * experts as usize)];
        buffers.extend(bias.then(|| noise(2, experts as usize)));
        buffers.push(zeros(rows * 2 * k as usize));
        let args = RouteArgs { rows: rows as u32, scale: 1.5 };
        cases.push(Case::new("5 rows", &kernel, &args, buffers));
    }
}
