//! Keys and values in their pages: exactly what was given, rounded, and nothing else.

mod common;

use common::{floats, paged::Paged, run, words};
use tessera_kernels::{
    append::{Append, AppendArgs},
    cache::Cache,
    tables::NO_PAGE,
};
use tessera_tile::{Record, Spec, ir::Elem, sim::Memory};

fn check(elem: Elem, head_dim: u32, kv_heads: usize, threads: u32, absent: bool) {
    let cache = Cache { elem, head_dim };
    // within a page, over an edge, from its edge, a sequence's first token
    let mut paged = Paged::new(cache, kv_heads, &[(5, 1), (62, 4), (128, 2), (0, 1)], None);
    if absent {
        let page = paged.starts[1] as usize + 1;
        paged.table[page] = NO_PAGE;
    }
    let rows = paged.rows();
    let width = kv_heads * head_dim as usize;
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    let sentinel: Vec<f32> = (0..paged.elements()).map(|i| (i % 251) as f32 + 2.0).collect();
    let mut wanted: Vec<f32> = sentinel.iter().map(|&x| paged.round(x)).collect();
    for (i, &(run, position)) in rows.iter().enumerate() {
        let new = |seed: u64| common::random(seed * 1000 + i as u64, width);
        let (key, value) = (new(1), new(2));
        for head in 0..kv_heads {
            let Some((k, v)) = paged.place(run, position, head) else { continue };
            for j in 0..head_dim as usize {
                wanted[k + j] = paged.round(key[head * head_dim as usize + j]);
                wanted[v + j] = paged.round(value[head * head_dim as usize + j]);
            }
        }
        keys.extend(key);
        values.extend(value);
    }
    let kernel = Append { cache, threads };
    let pages = Memory::of(&paged.bytes(&sentinel));
    let args = AppendArgs { rows: rows.len() as u32, kv_heads: kv_heads as u32 };
    run(
        &kernel,
        &args,
        &[
            &floats(&keys),
            &floats(&values),
            &paged.positions(),
            &paged.run_of(),
            &words(&paged.starts),
            &words(&paged.table),
            &pages,
        ],
    );
    assert!(pages.to_vec() == paged.bytes(&wanted), "{kernel:?}");
}

#[test]
fn every_type_and_width() {
    for elem in [Elem::F32, Elem::F16, Elem::BF16] {
        for (head_dim, kv_heads, threads) in [(8, 1, 32), (24, 3, 32), (128, 2, 64), (256, 1, 32)] {
            check(elem, head_dim, kv_heads, threads, false);
        }
    }
}

#[test]
fn rows_without_a_page_are_not_kept() {
    check(Elem::F16, 16, 2, 32, true);
}

#[test]
fn what_it_cannot_do_is_told() {
    let kernel = |elem, head_dim| Append { cache: Cache { elem, head_dim }, threads: 32 };
    let args = AppendArgs { rows: 1, kv_heads: 1 };
    for (elem, head_dim) in [(Elem::F16, 0), (Elem::F16, 12), (Elem::F16, 264), (Elem::U8, 64)] {
        kernel(elem, head_dim).check(&args).expect_err("refused");
    }
    let kernel = kernel(Elem::F16, 64);
    kernel.check(&AppendArgs { rows: 0, ..args }).expect_err("refused");
    kernel.check(&args).expect("can be done");
    kernel.record().expect("can be recorded");
}
