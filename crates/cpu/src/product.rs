//! Dividing a product: each thread has a share of the tiles, one stretch of memory, and helps others when
//! it is done with its own.

use std::ops::Range;

use tessera_graph::GatedUnit;

use crate::{
    isa::prefetch,
    kernels::{
        acts::Acts,
        matmul::{Finish, Product},
    },
    lower::{Matrix, Part, Slot, Work},
    step::Step,
    tile::Tiles,
};

/// Bytes of weights a thread takes at a time: enough that taking costs nothing, little enough that threads
/// end together.
const TAKE_BYTES: usize = 64 << 10;

/// Bytes of a share that are fetched before the product begins, while memory would be idle: about what
/// comes in during the work on a row between two products.
pub(crate) const WARM_BYTES: usize = 16 << 10;

/// Rows up to which a product waits for memory rather than for arithmetic.
pub(crate) const FEW_ROWS: usize = 8;

/// The parts whose tiles are divided (the two of a gated unit go together, tile by tile).
fn divided(parts: &[Part], gate: Option<GatedUnit>) -> &[Part] {
    if gate.is_some() { &parts[..1] } else { parts }
}

/// Tiles of all of `parts`, one after the other.
fn total(parts: &[Part]) -> usize {
    parts.iter().map(|p| p.matrix.weight.count()).sum()
}

/// Items of a thread's share.
pub(crate) fn share(total: usize, thread: usize, threads: usize) -> Range<usize> {
    total * thread / threads..total * (thread + 1) / threads
}

/// Tiles like those of `weight` that a thread takes at a time, of `total`.
pub(crate) fn at_a_time(weight: &Tiles, total: usize, threads: usize) -> usize {
    let fair = total.div_ceil(threads * 8).max(1);
    (TAKE_BYTES / weight.tile_bytes.max(1)).clamp(1, fair)
}

/// Takes ranges of `total` items, `n` at a time, until none are left: those of the thread's own share of
/// instruction `index` first, then what is left of others'.
pub(crate) fn divide(
    step: &Step<'_>,
    index: usize,
    thread: usize,
    total: usize,
    n: usize,
    mut work: impl FnMut(Range<usize>),
) {
    let threads = step.model.pool.threads();
    for owner in (thread..threads).chain(0..thread) {
        let share = share(total, owner, threads);
        loop {
            let first = share.start + step.take_of(index, owner, n);
            if first >= share.end {
                break;
            }
            work(first..share.end.min(first + n));
        }
    }
}

/// Computes tiles until none are left.
///
/// # Safety
/// As for [`Step::run`]: activations are prepared, and threads have met since unless they are this thread's.
#[allow(clippy::too_many_arguments)] // one instruction's fields, and who runs it
pub(crate) unsafe fn run(
    step: &Step<'_>,
    parts: &[Part],
    residual: Option<&Slot>,
    gate: Option<GatedUnit>,
    acts: &Acts,
    rows: usize,
    index: usize,
    thread: usize,
) {
    let total = total(divided(parts, gate));
    let n = at_a_time(&parts[0].matrix.weight, total, step.model.pool.threads());
    divide(step, index, thread, total, n, |range| {
        // SAFETY: these tiles are taken by this thread alone.
        unsafe { tiles(step, parts, residual, gate, acts, rows, range) };
    });
}

/// Computes a range of tiles.
///
/// # Safety
/// As for [`run`], and these tiles are this thread's.
unsafe fn tiles(
    step: &Step<'_>,
    parts: &[Part],
    residual: Option<&Slot>,
    gate: Option<GatedUnit>,
    acts: &Acts,
    rows: usize,
    range: Range<usize>,
) {
    let run = |part: &Part, first: usize, last: usize, finish: Finish| {
        let (Matrix { weight, bias }, out) = (&part.matrix, part.out.p);
        let product = Product { weight, bias: *bias, acts: *acts, rows, out, finish };
        // SAFETY: passed on.
        unsafe { product.run(step.model.level, step.model.precise, first, last) };
    };
    if let (Some(unit), [gate, up]) = (gate, parts) {
        run(gate, range.start, range.end, Finish::Store);
        run(up, range.start, range.end, Finish::Gate(unit));
        return;
    }
    let mut before = 0;
    for part in parts {
        let count = part.matrix.weight.count();
        let (a, z) = (range.start.max(before), range.end.min(before + count));
        if a < z {
            let finish = residual.map_or(Finish::Store, |r| Finish::Add(r.p));
            run(part, a - before, z - before, finish);
        }
        before += count;
    }
}

/// Fetches the beginning of a thread's share of product `index`, if its step waits for memory.
pub(crate) fn warm(step: &Step<'_>, index: usize, thread: usize) {
    let Work::Product { parts, gate, x, .. } = &step.model.program.instructions[index].work else {
        return;
    };
    if step.rows(x.rows) > FEW_ROWS {
        return;
    }
    let divided = divided(parts, *gate);
    let mut first = share(total(divided), thread, step.model.pool.threads()).start;
    for part in divided {
        let weight = &part.matrix.weight;
        if first < weight.count() {
            return fetch(weight, first, WARM_BYTES);
        }
        first -= weight.count();
    }
}

/// Fetches `bytes` bytes of a matrix, from a tile on.
pub(crate) fn fetch(weight: &Tiles, tile: usize, bytes: usize) {
    let start = weight.tile(tile).cast_const();
    (0..bytes / 64).for_each(|line| prefetch(start.wrapping_add(line * 64)));
}
