//! Queries, keys and values on their way to attention, against plain arithmetic.

mod common;

use common::{close, floats, paged::Paged, random, read, result, run, words};
use tessera_kernels::{
    cache::Cache,
    tables::NO_PAGE,
    turn::{Turn, TurnArgs},
};
use tessera_tile::{Spec, ir::Elem, sim::Memory};

const EPS: f32 = 1e-3;
const OFFSET: f32 = 0.5;

/// A head, normalised and turned.
fn turned(x: &[f32], weights: Option<&[f32]>, angles: &[f32]) -> Vec<f32> {
    let mut x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
    if let Some(weights) = weights {
        let mean = x.iter().map(|x| x * x).sum::<f64>() / x.len() as f64;
        let scale = 1.0 / (mean + f64::from(EPS)).sqrt();
        let weights = weights.iter().map(|w| f64::from(w + OFFSET));
        x.iter_mut().zip(weights).for_each(|(x, w)| *x *= scale * w);
    }
    let (cos, sin) = angles.split_at(angles.len() / 2);
    for (i, (c, s)) in cos.iter().zip(sin).enumerate() {
        let (c, s, j) = (f64::from(*c), f64::from(*s), i + cos.len());
        (x[i], x[j]) = (x[i] * c - x[j] * s, x[j] * c + x[i] * s);
    }
    x.into_iter().map(|x| x as f32).collect()
}

fn check(cache: Cache, pairs: usize, (heads, kv_heads): (usize, usize), norm: bool, absent: bool) {
    let dim = cache.head_dim as usize;
    let mut paged = Paged::new(cache, kv_heads, &[(5, 1), (62, 4), (128, 2), (0, 1)], None);
    if absent {
        let page = paged.starts[1] as usize + 1;
        paged.table[page] = NO_PAGE;
    }
    let rows = paged.rows();
    let queries = random(1, rows.len() * heads * dim);
    let (keys, values) =
        (random(2, rows.len() * kv_heads * dim), random(3, rows.len() * kv_heads * dim));
    let angles = random(4, rows.len() * 2 * pairs);
    let weights = [random(5, dim), random(6, dim)];
    let of = |i: usize| norm.then_some(weights[i].as_slice());
    let angles_of = |row: usize| &angles[row * 2 * pairs..][..2 * pairs];
    let wanted = queries.chunks(dim).enumerate();
    let wanted: Vec<f32> =
        wanted.flat_map(|(i, x)| turned(x, of(0), angles_of(i / heads))).collect();
    let mut pages: Vec<f32> = vec![7.0; paged.elements()];
    for (i, &(run, position)) in rows.iter().enumerate() {
        for head in 0..kv_heads {
            let Some((k, v)) = paged.place(run, position, head) else { continue };
            let at = (i * kv_heads + head) * dim;
            pages[k..k + dim].copy_from_slice(&turned(&keys[at..at + dim], of(1), angles_of(i)));
            pages[v..v + dim].copy_from_slice(&values[at..at + dim]);
        }
    }
    let kernel = Turn { cache, pairs: pairs as u32, norm, simdgroups: 3 };
    let args = TurnArgs {
        rows: rows.len() as u32,
        heads: heads as u32,
        kv_heads: kv_heads as u32,
        eps: EPS,
        offset: OFFSET,
    };
    let kept = Memory::of(&paged.bytes(&vec![7.0; paged.elements()]));
    let norms = weights.map(|weights| floats(&weights));
    let in_place = floats(&queries);
    let (apart, keys, values, angles) =
        (result(queries.len()), floats(&keys), floats(&values), floats(&angles));
    let (starts, table) = (words(&paged.starts), words(&paged.table));
    let (positions, run_of) = (paged.positions(), paged.run_of());
    for (queries, y) in [(&floats(&queries), &apart), (&in_place, &in_place)] {
        let mut buffers = vec![queries, &keys, &values, &angles];
        buffers.extend(norm.then_some(&norms).into_iter().flatten());
        buffers.extend([&positions, &run_of, &starts, &table, y, &kept]);
        run(&kernel, &args, &buffers);
        close(&format!("{kernel:?}"), &read(y), &wanted, 2e-6);
    }
    let found = paged.floats(&kept.to_vec());
    // a last bit may round the other way
    let near = match cache.elem {
        Elem::F32 => 2e-6,
        Elem::F16 => 1e-3,
        _ => 8e-3,
    };
    close(&format!("{kernel:?}, kept"), &found, &pages, near);
}

#[test]
fn every_type_and_width() {
    for elem in [Elem::F32, Elem::F16, Elem::BF16] {
        for (head_dim, pairs) in [(8, 4), (24, 12), (64, 32), (128, 64), (256, 128)] {
            for norm in [false, true] {
                check(Cache { elem, head_dim }, pairs, (3, 1), norm, false);
            }
        }
    }
}

#[test]
fn parts_of_heads_turn() {
    for (head_dim, pairs) in [(64, 8), (96, 16), (256, 32), (40, 20), (80, 33), (8, 1)] {
        for norm in [false, true] {
            check(Cache { elem: Elem::F32, head_dim }, pairs, (4, 2), norm, false);
        }
    }
}

#[test]
fn rows_without_a_page_are_not_kept() {
    check(Cache { elem: Elem::F16, head_dim: 16 }, 8, (2, 2), true, true);
}

#[test]
fn what_it_cannot_do_is_told() {
    let cache = Cache { elem: Elem::F16, head_dim: 64 };
    let args = TurnArgs { rows: 1, heads: 2, kv_heads: 1, eps: 0.0, offset: 0.0 };
    let kernel = |pairs| Turn { cache, pairs, norm: false, simdgroups: 4 };
    kernel(32).check(&args).expect("can be done");
    for (pairs, args) in [(33, args), (0, args), (32, TurnArgs { kv_heads: 0, ..args })] {
        kernel(pairs).check(&args).expect_err("refused");
    }
}
