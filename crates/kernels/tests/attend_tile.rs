//! Attention by tiles against plain attention.

mod common;

use common::{
    close, floats,
    paged::{Paged, Plain, attention, guesses},
    random, read, result, run, words,
};
use tessera_kernels::{
    attend_tile::{AttendTile, AttendTileArgs},
    cache::Cache,
    sight::Sight,
};
use tessera_tile::{Record, Spec, ir::Elem};

#[derive(Clone)]
struct Case {
    kernel: AttendTile,
    kv_heads: usize,
    runs: Vec<(usize, usize)>,
    window: Option<usize>,
    softcap: Option<f32>,
    tree: Option<Vec<Vec<u32>>>,
    /// How large queries are.
    size: f32,
}

impl Case {
    fn new(cache: Cache, runs: &[(usize, usize)]) -> Self {
        let kernel = AttendTile {
            cache,
            group: 1,
            rows: 16,
            bands: 1,
            dims: 64,
            depth: 1,
            stage: Elem::F32,
            sight: Sight::default(),
            softcap: false,
            sinks: false,
        };
        let runs = runs.to_vec();
        Self { kernel, kv_heads: 1, runs, window: None, softcap: None, tree: None, size: 3.0 }
    }

    fn attend(&self) -> (Vec<f32>, Vec<f32>) {
        let sight = Sight { window: self.window.is_some(), tree: self.tree.is_some() };
        let kernel = AttendTile { sight, softcap: self.softcap.is_some(), ..self.kernel };
        let paged = Paged::new(kernel.cache, self.kv_heads, &self.runs, self.window);
        let rows = paged.rows().len();
        let (heads, dim) = (self.kv_heads * kernel.group as usize, kernel.cache.head_dim as usize);
        let queries = random(5, rows * heads * dim);
        let queries: Vec<f32> = queries.iter().map(|x| x * self.size).collect();
        let sinks: Vec<f32> = random(6, heads).iter().map(|x| x * 2.0).collect();
        let scale = 1.0 / (dim as f32).sqrt();
        let plain = Plain {
            heads,
            scale,
            softcap: self.softcap,
            sinks: kernel.sinks.then_some(&*sinks),
            tree: self.tree.as_deref(),
        };
        let wanted = attention(&paged, &plain, &queries);

        let mut blocks = Vec::new();
        for (run, &(_, len)) in (0..).zip(&self.runs) {
            (0..len as u32).step_by(kernel.rows as usize).for_each(|row| blocks.push([run, row]));
        }
        blocks.reverse(); // in whatever order
        let args = AttendTileArgs {
            blocks: blocks.len() as u32,
            kv_heads: self.kv_heads as u32,
            scale,
            window: self.window.unwrap_or(0) as u32,
            softcap: self.softcap.unwrap_or(0.0),
            mask_words: self.tree.as_ref().map_or(0, |tree| tree[0].len() as u32),
        };
        let masks = words(&self.tree.clone().unwrap_or_default().concat());
        let (queries, starts, table) =
            (floats(&queries), words(&paged.starts), words(&paged.table));
        let (blocks, runs, pages) = (words(&blocks.concat()), paged.run_table(), paged.history());
        let (sinks, y) = (floats(&sinks), result(rows * heads * dim));
        let mut buffers = vec![&queries, &blocks, &runs, &starts, &table, &pages];
        buffers.extend(sight.tree.then_some(&masks));
        buffers.extend(kernel.sinks.then_some(&sinks));
        buffers.push(&y);
        run(&kernel, &args, &buffers);
        (read(&y), wanted)
    }

    fn check(&self, limit: f32) {
        let (got, wanted) = self.attend();
        let what = format!("{:?} {:?} {:?}", self.kernel, self.runs, self.window);
        close(&what, &got, &wanted, limit);
    }
}

/// Rounding of operands in f32, and to half precision.
const EXACT: f32 = 5e-6;
const HALF: f32 = 2e-3;

#[test]
fn every_head_and_type() {
    for head_dim in [8, 16, 24, 32, 64, 80, 96, 128, 160, 192, 256] {
        let case = Case::new(Cache { elem: Elem::F16, head_dim }, &[(50, 17)]);
        let dims = if head_dim > 128 { 16 } else { 32 };
        Case { kernel: AttendTile { dims, ..case.kernel }, ..case.clone() }.check(EXACT);
        Case { kernel: AttendTile { stage: Elem::F16, ..case.kernel }, ..case }.check(HALF);
    }
    for elem in [Elem::F32, Elem::BF16] {
        for head_dim in [24, 64] {
            let case = Case::new(Cache { elem, head_dim }, &[(50, 17)]);
            Case { kernel: AttendTile { dims: 32, ..case.kernel }, ..case.clone() }.check(EXACT);
            Case { kernel: AttendTile { stage: Elem::F16, ..case.kernel }, ..case }.check(HALF);
        }
    }
}

#[test]
fn geometry() {
    let cache = Cache { elem: Elem::F16, head_dim: 40 };
    for (rows, bands, dims) in [(16, 1, 16), (32, 1, 48), (32, 2, 64), (32, 2, 16)] {
        let case = Case::new(cache, &[(3, 1), (60, rows as usize + 5), (0, rows as usize)]);
        let kernel = AttendTile { rows, bands, dims, group: 2, stage: Elem::F16, ..case.kernel };
        Case { kernel, kv_heads: 2, ..case }.check(HALF);
    }
}

/// Copied ahead, keys and values give the same bits.
#[test]
fn depths() {
    let check = |case: Case, dims: u32| {
        let at = |depth: u32| {
            let kernel = AttendTile { dims, depth, stage: case.kernel.cache.elem, ..case.kernel };
            Case { kernel, ..case.clone() }
        };
        at(1).check(HALF);
        let (wanted, _) = at(1).attend();
        for depth in [2, 3] {
            let kernel = at(depth).kernel;
            assert!(at(depth).attend().0 == wanted, "{kernel:?} {:?}", case.window);
        }
    };
    // one piece of keys, two, three; with and without what fills the last tile
    for (elem, head_dim, dims) in [
        (Elem::F16, 8, 16),
        (Elem::F16, 64, 32),
        (Elem::F16, 40, 16),
        (Elem::F16, 72, 32),
        (Elem::F32, 24, 16),
        (Elem::F32, 48, 16),
    ] {
        for runs in [&[(0, 1)][..], &[(50, 17), (3, 1)], &[(126, 4)], &[(300, 18)]] {
            check(Case::new(Cache { elem, head_dim }, runs), dims);
        }
    }
    let case = Case::new(Cache { elem: Elem::F16, head_dim: 24 }, &[(0, 18), (127, 20), (200, 33)]);
    for window in [1, 63, 64, 65, 130] {
        let kernel = AttendTile { sinks: true, group: 2, ..case.kernel };
        check(Case { window: Some(window), kv_heads: 2, kernel, ..case.clone() }, 16);
    }
    let kernel = AttendTile { rows: 32, bands: 2, ..case.kernel };
    check(Case { kernel, ..case.clone() }, 16);
    let mut tree = guesses(7, 2);
    tree.extend(guesses(40, 2));
    let case = Case { runs: vec![(250, 7), (253, 40)], tree: Some(tree), ..case };
    check(Case { window: Some(63), ..case }, 16);
}

#[test]
fn every_remainder() {
    let cache = Cache { elem: Elem::F16, head_dim: 16 };
    for len in [1, 2, 15, 16, 17, 31, 32, 33] {
        for position in [0, 1, 47, 48, 63, 64, 65] {
            Case::new(cache, &[(position, len)]).check(EXACT);
        }
    }
}

#[test]
fn windows_caps_and_sinks() {
    let cache = Cache { elem: Elem::F16, head_dim: 24 };
    let plain = Case { kv_heads: 2, ..Case::new(cache, &[(0, 18), (127, 20), (200, 33)]) };
    let sinks = AttendTile { sinks: true, ..plain.kernel };
    for window in [1, 2, 63, 64, 65, 130, 5000] {
        Case { window: Some(window), ..plain.clone() }.check(EXACT);
        let window = Some(window);
        Case { window, softcap: Some(2.0), kernel: sinks, ..plain.clone() }.check(EXACT);
    }
    Case { softcap: Some(0.5), ..plain.clone() }.check(EXACT);
    Case { kernel: sinks, ..plain }.check(EXACT);
}

/// Scores that are large, so that references follow them again and again.
#[test]
fn large_scores() {
    let cache = Cache { elem: Elem::F32, head_dim: 16 };
    let case = Case::new(cache, &[(500, 20)]);
    for size in [30.0, 300.0] {
        let kernel = AttendTile { sinks: true, ..case.kernel };
        Case { size, kernel, ..case.clone() }.check(5e-5);
        // the sinks are nothing beside such scores, and all beside small ones
        Case { size: 1e-3, kernel, ..case.clone() }.check(EXACT);
    }
    let kernel = AttendTile { stage: Elem::F16, ..case.kernel };
    Case { size: 30.0, kernel, ..case }.check(2e-2);
}

#[test]
fn trees() {
    let cache = Cache { elem: Elem::F16, head_dim: 16 };
    for position in [0, 60, 250] {
        let mut tree = guesses(7, 2);
        tree.extend(guesses(40, 2));
        let case = Case::new(cache, &[(position, 7), (position + 3, 40)]);
        let case = Case { tree: Some(tree), ..case };
        case.check(EXACT);
        Case { window: Some(63), ..case.clone() }.check(EXACT);
        let kernel = AttendTile { sinks: true, rows: 32, dims: 16, ..case.kernel };
        Case { window: Some(100), kernel, ..case }.check(EXACT);
    }
}

/// A row's result is the same bits however its run is cut, and whoever else is in the step.
#[test]
fn company() {
    let cache = Cache { elem: Elem::F16, head_dim: 32 };
    for window in [None, Some(70)] {
        let case = Case::new(cache, &[(130, 40)]);
        let kernel = AttendTile { stage: Elem::F16, ..case.kernel };
        let case = Case { kernel, window, ..case };
        let (whole, _) = case.attend();
        let (part, _) = Case { runs: vec![(130, 21), (90, 3)], ..case }.attend();
        let row = 32;
        assert_eq!(whole[..21 * row], part[..21 * row]);
    }
}

#[test]
fn what_it_cannot_do_is_told() {
    let kernel = Case::new(Cache { elem: Elem::F16, head_dim: 128 }, &[]).kernel;
    let args = AttendTileArgs {
        blocks: 1,
        kv_heads: 1,
        scale: 1.0,
        window: 0,
        softcap: 0.0,
        mask_words: 0,
    };
    let refused = |kernel: AttendTile, args: AttendTileArgs| {
        kernel.check(&args).expect_err("refused");
    };
    refused(kernel, args); // 64 elements of f32 at once are too many
    let kernel = AttendTile { dims: 32, ..kernel };
    kernel.check(&args).expect("can be done");
    kernel.record().expect("can be recorded");
    refused(AttendTile { rows: 24, ..kernel }, args);
    refused(AttendTile { rows: 64, stage: Elem::F16, dims: 16, ..kernel }, args);
    refused(AttendTile { bands: 2, ..kernel }, args);
    refused(AttendTile { dims: 24, ..kernel }, args);
    refused(AttendTile { depth: 0, dims: 16, ..kernel }, args);
    refused(AttendTile { depth: 2, dims: 16, ..kernel }, args); // from F16 to F32 is no copy
    let half = AttendTile { stage: Elem::F16, dims: 16, ..kernel };
    half.check(&args).and(AttendTile { depth: 3, ..half }.check(&args)).expect("can be done");
    refused(AttendTile { depth: 4, ..half }, args);
    refused(AttendTile { depth: 3, dims: 64, ..half }, args); // too many elements at once
    refused(AttendTile { group: 0, ..kernel }, args);
    refused(AttendTile { stage: Elem::BF16, ..kernel }, args);
    refused(AttendTile { sight: Sight { window: true, tree: false }, ..kernel }, args);
    refused(AttendTile { sight: Sight { window: false, tree: true }, ..kernel }, args);
    refused(kernel, AttendTileArgs { blocks: 0, ..args });
}
