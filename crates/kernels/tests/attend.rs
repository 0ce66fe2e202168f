//! Attention of single rows against plain attention.

mod common;

use common::{
    close, floats,
    paged::{Paged, Plain, attention, guesses},
    random, read, result, run, words,
};
use tessera_kernels::{
    attend::{Attend, AttendArgs, SPLIT, splits},
    attend_join::{AttendJoin, AttendJoinArgs},
    cache::Cache,
    sight::Sight,
};
use tessera_tile::{Record, Spec, ir::Elem};

/// Runs of (position, rows), and what is done with them.
#[derive(Clone)]
struct Case {
    kernel: Attend,
    kv_heads: usize,
    runs: Vec<(usize, usize)>,
    window: Option<usize>,
    softcap: Option<f32>,
    sinks: bool,
    /// Of each row of each run, the rows of the run that it sees.
    tree: Option<Vec<Vec<u32>>>,
}

impl Case {
    fn new(cache: Cache, group: u32, runs: &[(usize, usize)]) -> Self {
        let sight = Sight::default();
        Self {
            kernel: Attend {
                cache,
                group,
                share: group,
                split: SPLIT,
                threads: 128,
                sight,
                softcap: false,
            },
            kv_heads: 2,
            runs: runs.to_vec(),
            window: None,
            softcap: None,
            sinks: false,
            tree: None,
        }
    }

    /// What the kernels make.
    fn attend(&self) -> (Vec<f32>, Vec<f32>) {
        let sight = Sight { window: self.window.is_some(), tree: self.tree.is_some() };
        let kernel = Attend { sight, softcap: self.softcap.is_some(), ..self.kernel };
        let paged = Paged::new(kernel.cache, self.kv_heads, &self.runs, self.window);
        let rows = paged.rows().len();
        let (heads, dim) = (self.kv_heads * kernel.group as usize, kernel.cache.head_dim as usize);
        let queries: Vec<f32> = random(5, rows * heads * dim).iter().map(|x| x * 3.0).collect();
        let sinks: Vec<f32> = random(6, heads).iter().map(|x| x * 2.0).collect();
        let scale = 1.0 / (dim as f32).sqrt();
        let plain = Plain {
            heads,
            scale,
            softcap: self.softcap,
            sinks: self.sinks.then_some(&*sinks),
            tree: self.tree.as_deref(),
        };
        let wanted = attention(&paged, &plain, &queries);

        let context = self.runs.iter().map(|(p, n)| p + n).max().expect("runs") as u32;
        let longest = self.runs.iter().map(|run| run.1).max().expect("runs");
        let spread = if sight.tree { longest } else { 0 };
        let window = self.window.map(|window| (window + spread) as u32);
        let splits = splits(kernel.split, context, window);
        let mask_words = self.tree.as_ref().map_or(0, |tree| tree[0].len() as u32);
        let args = AttendArgs {
            rows: rows as u32,
            kv_heads: self.kv_heads as u32,
            splits,
            scale,
            window: self.window.unwrap_or(0) as u32,
            softcap: self.softcap.unwrap_or(0.0),
            mask_words,
        };
        let totals = result(rows * heads * splits as usize * 2);
        let parts = result(rows * heads * splits as usize * dim);
        let (positions, run_of, runs) = (paged.positions(), paged.run_of(), paged.run_table());
        let masks = words(&self.tree.clone().unwrap_or_default().concat());
        let (queries, starts, table) =
            (floats(&queries), words(&paged.starts), words(&paged.table));
        let pages = paged.history();
        // in another order than they lie in
        let listed = words(&(0..rows as u32).rev().collect::<Vec<_>>());
        let mut buffers = vec![&listed, &queries, &positions, &run_of, &starts, &table, &pages];
        buffers.extend(sight.tree.then_some([&runs, &masks]).into_iter().flatten());
        buffers.extend([&totals, &parts]);
        run(&kernel, &args, &buffers);

        let join = AttendJoin {
            head_dim: kernel.cache.head_dim,
            split: kernel.split,
            threads: 128,
            sight,
            sinks: self.sinks,
        };
        let args = AttendJoinArgs {
            rows: rows as u32,
            heads: heads as u32,
            splits,
            window: args.window,
            mask_words,
        };
        let (sinks, y) = (floats(&sinks), result(rows * heads * dim));
        let mut buffers = vec![&listed, &totals, &parts, &positions];
        buffers.extend(sight.tree.then_some([&run_of, &runs, &masks]).into_iter().flatten());
        buffers.extend(self.sinks.then_some(&sinks));
        buffers.push(&y);
        run(&join, &args, &buffers);
        (read(&y), wanted)
    }

    fn check(&self) {
        let (got, wanted) = self.attend();
        let what = format!("{:?} {:?} {:?}", self.kernel, self.runs, self.window);
        close(&what, &got, &wanted, 5e-6);
    }
}

/// A first token, within a page, at a page's edge, around a split's edge.
const RUNS: [(usize, usize); 4] = [(0, 1), (63, 2), (70, 1), (255, 3)];

#[test]
fn every_head_and_type() {
    for head_dim in [8, 16, 24, 32, 64, 80, 96, 128, 160, 192, 256] {
        Case::new(Cache { elem: Elem::F16, head_dim }, 2, &[(62, 3), (256, 1)]).check();
    }
    for elem in [Elem::F32, Elem::BF16] {
        for head_dim in [8, 24, 64, 256] {
            Case::new(Cache { elem, head_dim }, 2, &[(62, 3), (256, 1)]).check();
        }
    }
}

#[test]
fn groups_of_heads() {
    let cache = Cache { elem: Elem::F16, head_dim: 16 };
    for (group, share) in [(1, 1), (3, 3), (7, 4), (8, 8), (16, 5)] {
        let case = Case::new(cache, group, &RUNS);
        Case { kernel: Attend { share, ..case.kernel }, ..case }.check();
    }
}

#[test]
fn geometry() {
    for (head_dim, threads, split) in [(16, 32, 64), (24, 64, 64), (32, 256, 128), (64, 64, 256)] {
        let case = Case::new(Cache { elem: Elem::BF16, head_dim }, 3, &RUNS);
        Case { kernel: Attend { threads, split, ..case.kernel }, kv_heads: 1, ..case }.check();
    }
}

#[test]
fn windows_caps_and_sinks() {
    let cache = Cache { elem: Elem::F16, head_dim: 24 };
    let plain = Case::new(cache, 2, &[(0, 2), (127, 2), (300, 1), (600, 2)]);
    for window in [1, 2, 64, 65, 257, 600, 5000] {
        Case { window: Some(window), ..plain.clone() }.check();
        Case { window: Some(window), softcap: Some(2.0), sinks: true, ..plain.clone() }.check();
    }
    Case { softcap: Some(0.5), ..plain.clone() }.check();
    Case { sinks: true, ..plain }.check();
}

#[test]
fn trees() {
    let cache = Cache { elem: Elem::F16, head_dim: 16 };
    // over a page's and a split's edge
    for position in [0, 60, 250] {
        let case = Case::new(cache, 2, &[(position, 7), (position + 3, 40)]);
        let mut tree = guesses(7, 2);
        tree.extend(guesses(40, 2));
        let case = Case { tree: Some(tree), kv_heads: 1, ..case };
        case.check();
        Case { window: Some(63), ..case.clone() }.check();
        Case { window: Some(100), sinks: true, ..case }.check();
    }
}

/// A row's result is the same bits whoever else is in the step.
#[test]
fn company() {
    let cache = Cache { elem: Elem::F16, head_dim: 32 };
    for window in [None, Some(100)] {
        let alone = Case { window, ..Case::new(cache, 2, &[(300, 1)]) };
        let (alone, _) = alone.attend();
        // the first run, so that its keys and queries are the same
        let others = Case { window, ..Case::new(cache, 2, &[(300, 1), (700, 2), (5, 1)]) };
        let (others, _) = others.attend();
        assert_eq!(alone, others[..alone.len()]);
    }
}

#[test]
fn what_it_cannot_do_is_told() {
    let kernel = Case::new(Cache { elem: Elem::F16, head_dim: 64 }, 4, &[]).kernel;
    let args = AttendArgs {
        rows: 1,
        kv_heads: 1,
        splits: 1,
        scale: 1.0,
        window: 0,
        softcap: 0.0,
        mask_words: 0,
    };
    kernel.check(&args).expect("can be done");
    kernel.record().expect("can be recorded");
    let refused = |kernel: Attend, args: AttendArgs| kernel.check(&args).expect_err("refused");
    refused(Attend { share: 5, ..kernel }, args);
    refused(Attend { share: 0, ..kernel }, args);
    refused(Attend { split: 100, ..kernel }, args);
    refused(Attend { split: 64, threads: 1024, ..kernel }, args);
    let wide = Cache { elem: Elem::F32, head_dim: 256 };
    refused(Attend { cache: wide, threads: 32, ..kernel }, args);
    refused(Attend { sight: Sight { window: true, tree: false }, ..kernel }, args);
    refused(Attend { sight: Sight { window: false, tree: true }, ..kernel }, args);
    refused(kernel, AttendArgs { splits: 0, ..args });
    let join =
        AttendJoin { head_dim: 64, split: 256, threads: 32, sight: kernel.sight, sinks: false };
    let args = AttendJoinArgs { rows: 1, heads: 1, splits: 1, window: 0, mask_words: 0 };
    join.check(&args).expect("can be done");
    AttendJoin { head_dim: 136, ..join }.check(&args).expect_err("refused");
    AttendJoin { head_dim: 0, ..join }.check(&args).expect_err("refused");
    join.check(&AttendJoinArgs { splits: 0, ..args }).expect_err("refused");
}
