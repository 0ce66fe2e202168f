//! Dividing attention: which queries go together, and whether their splits go to different threads.

use tessera_graph::{Attend, Run};

use crate::{
    kernels::attention::{Finish, GROUP, Join, Partial, Query, SPLIT, Split},
    kv::Layer,
    lower::Slot,
    step::Step,
};

impl Step<'_> {
    /// Splits of the longest run.
    fn splits(&self) -> usize {
        let ends = self.batch.runs.iter().map(|r| (r.position + r.len) as usize);
        ends.max().unwrap_or(0).div_ceil(SPLIT)
    }

    /// Whether the splits of a query go to different threads, to be joined by another instruction: when
    /// there are several and room for all (a few rows at long context). The bits are the same either way.
    pub(crate) fn divided(&self, heads: usize) -> bool {
        let splits = self.splits();
        splits > 1 && self.batch.tokens.len() * heads * splits <= self.model.partials.capacity
    }

    /// Addresses of a run's pages in a layer's group.
    pub(crate) fn pages(&self, run: &Run, layer: &Layer) -> &[*mut u8] {
        let (start, len) = self.batch.tables[run.tables as usize + layer.group];
        &self.model.addresses[start as usize..(start + len) as usize]
    }

    /// Where a split of a query is stored.
    fn partial(&self, row: usize, head: usize, heads: usize, split: usize) -> (*mut f32, *mut f32) {
        let partials = &self.model.partials;
        let index = (row * heads + head) * self.splits() + split;
        debug_assert!(index < partials.capacity);
        (partials.values.wrapping_add(index * partials.dim), partials.heads.wrapping_add(index * 2))
    }
}

/// First and one past the last position that the token at `position` sees.
fn sight(layer: &Layer, position: usize) -> (usize, usize) {
    (layer.window.map_or(0, |window| (position + 1).saturating_sub(window)), position + 1)
}

/// Where attention's result goes, and what takes a share of each query's softmax besides positions.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    pub out: Slot,
    /// `[heads]`.
    pub sinks: Option<*const f32>,
}

impl Target {
    /// The last of a query's work.
    ///
    /// # Safety
    /// There are sinks for `head`.
    unsafe fn finish(&self, all: Partial, row: usize, head: usize, head_dim: usize) -> Finish {
        let out = self.out.row(row).wrapping_add(head * head_dim);
        // SAFETY: the caller's.
        Finish { all, sink: self.sinks.map(|sinks| unsafe { *sinks.add(head) }), out, head_dim }
    }
}

/// Queries that share a key/value head and are computed together.
struct Group {
    queries: [Query; GROUP],
    /// (row, head) of each.
    places: [(usize, usize); GROUP],
    len: usize,
}

impl Group {
    /// Queries `first ..` of a run's head: a query is a token with one of the heads that share it.
    fn new(layer: &Layer, op: &Attend, run: &Run, q: &Slot, kv_head: usize, first: usize) -> Self {
        let share = op.heads / layer.kv_heads;
        let len = GROUP.min(run.len as usize * share - first);
        let mut places = [(0, 0); GROUP];
        let queries = std::array::from_fn(|i| {
            let index = first + i.min(len - 1);
            let (token, head) = (index / share, kv_head * share + index % share);
            let row = run.row as usize + token;
            places[i] = (row, head);
            let (lo, hi) = sight(layer, run.position as usize + token);
            Query { q: q.row(row).wrapping_add(head * layer.head_dim), lo, hi }
        });
        Self { queries, places, len }
    }

    /// Splits that any of the queries sees.
    fn splits(&self) -> std::ops::Range<usize> {
        let queries = &self.queries[..self.len];
        let lo = queries.iter().map(|q| q.lo).min().unwrap_or(0);
        let hi = queries.iter().map(|q| q.hi).max().unwrap_or(0);
        lo / SPLIT..hi.div_ceil(SPLIT)
    }
}

/// Groups, or splits of them, that a thread takes at a time at most.
const LONGEST: usize = 16;

/// A thread's share of an attention: takes groups of queries, or splits of them, until none are left.
///
/// # Safety
/// As for [`Step::run`]: the keys and values of the step have been kept, and threads have met since.
pub(crate) unsafe fn attend(
    step: &Step<'_>,
    layer: &Layer,
    op: &Attend,
    q: &Slot,
    to: &Target,
    index: usize,
    scratch: &mut [f32],
) {
    let divided = step.divided(op.heads);
    let share = op.heads / layer.kv_heads;
    // neighbours together: they lie one behind the other in memory
    let splits = if divided { step.splits() } else { 1 };
    let items = step.batch.tokens.len() * op.heads / GROUP.min(share) * splits;
    let stretch = (items / (4 * step.model.pool.threads())).clamp(1, LONGEST);
    let (mut item, mut next) = (0, step.take(index, stretch));
    let mut mine = || {
        let taken = (next..next + stretch).contains(&item);
        item += 1;
        if item == next + stretch {
            next = step.take(index, stretch);
        }
        taken
    };
    for run in &step.batch.runs {
        let pages = step.pages(run, layer);
        for kv_head in 0..layer.kv_heads {
            for first in (0..run.len as usize * share).step_by(GROUP) {
                // a group is made only when something of it is ours
                if !divided && !mine() {
                    continue;
                }
                let group = Group::new(layer, op, run, q, kv_head, first);
                let compute = |split: usize, out: &mut [Partial]| {
                    let work = Split {
                        layer,
                        kv: step.model.kv,
                        head: kv_head,
                        pages,
                        queries: &group.queries[..group.len],
                        scale: op.scale,
                        softcap: op.softcap,
                        split,
                        out,
                    };
                    // SAFETY: every page that a query sees is there (the batch was checked).
                    unsafe { step.model.level.run(work) };
                };
                // SAFETY: these queries, or splits, are ours alone.
                unsafe {
                    if divided {
                        for split in group.splits() {
                            if mine() {
                                store(step, op.heads, &group, split, compute);
                            }
                        }
                    } else {
                        at_once(step, layer, &group, to, scratch, compute);
                    }
                }
            }
        }
    }
}

/// Computes one split of a group and stores it for [`join`].
///
/// # Safety
/// No one else stores this split.
unsafe fn store(
    step: &Step<'_>,
    heads: usize,
    group: &Group,
    split: usize,
    compute: impl Fn(usize, &mut [Partial]),
) {
    let place = |i: usize| step.partial(group.places[i].0, group.places[i].1, heads, split);
    let mut parts: [Partial; GROUP] =
        std::array::from_fn(|i| Partial { largest: 0.0, sum: 0.0, values: place(i).0 });
    compute(split, &mut parts[..group.len]);
    for (i, part) in parts[..group.len].iter().enumerate() {
        let head = place(i).1;
        // SAFETY: two floats of this split.
        unsafe {
            head.write(part.largest);
            head.add(1).write(part.sum);
        }
    }
}

/// Computes all splits of a group, joining each to those before it.
///
/// # Safety
/// No one else writes these queries' output; `scratch` holds `2 * GROUP * dim` floats.
unsafe fn at_once(
    step: &Step<'_>,
    layer: &Layer,
    group: &Group,
    to: &Target,
    scratch: &mut [f32],
    compute: impl Fn(usize, &mut [Partial]),
) {
    let level = step.model.level;
    let (old, new) = scratch.split_at_mut(GROUP * layer.dim);
    let parts = |buffer: &mut [f32]| -> [Partial; GROUP] {
        let p = buffer.as_mut_ptr();
        std::array::from_fn(|i| Partial {
            largest: f32::NEG_INFINITY,
            sum: 0.0,
            values: p.wrapping_add(i * layer.dim),
        })
    };
    let (mut all, mut one) = (parts(old), parts(new));
    let (all, one) = (&mut all[..group.len], &mut one[..group.len]);
    let splits = group.splits();
    compute(splits.start, all);
    for split in splits.skip(1) {
        compute(split, one);
        for (old, new) in all.iter_mut().zip(one.iter()) {
            // SAFETY: both hold `dim` floats of the scratch.
            *old = unsafe { level.run(Join { old: *old, new: *new, dim: layer.dim }) };
        }
    }
    for (all, &(row, head)) in all.iter().zip(&group.places) {
        // SAFETY: the query's part of the output row.
        unsafe { level.run(to.finish(*all, row, head, layer.head_dim)) };
    }
}

/// Joins the stored splits of each query, in order.
///
/// # Safety
/// As for [`Step::run`]: all splits have been stored, and threads have met since.
pub(crate) unsafe fn join(
    step: &Step<'_>,
    layer: &Layer,
    heads: usize,
    to: &Target,
    thread: usize,
) {
    let level = step.model.level;
    let threads = step.model.pool.threads();
    for run in &step.batch.runs {
        for query in 0..run.len as usize * heads {
            let (row, head) = (run.row as usize + query / heads, query % heads);
            if (row * heads + head) % threads != thread {
                continue;
            }
            let (lo, hi) = sight(layer, run.position as usize + query / heads);
            let part = |split: usize| {
                let (values, head) = step.partial(row, head, heads, split);
                // SAFETY: the split was stored: its group saw all that this query sees.
                unsafe { Partial { largest: *head, sum: *head.add(1), values } }
            };
            let mut all = part(lo / SPLIT);
            for split in lo / SPLIT + 1..hi.div_ceil(SPLIT) {
                // SAFETY: both hold `dim` floats.
                all = unsafe { level.run(Join { old: all, new: part(split), dim: layer.dim }) };
            }
            // SAFETY: the query's part of the output row.
            unsafe { level.run(to.finish(all, row, head, layer.head_dim)) };
        }
    }
}
