//! From chunk to chunk.

use tessera_tile::prelude::*;

use super::Work;
use crate::chunks::{CHUNK, factor, factor_of, total_log};

/// Tokens of a chunk at a time.
const BATCH: u32 = 8;

/// What there is for chunks.
pub(super) struct Chunks {
    factors: In<F32>,
    readers: In<F32>,
    corrections: InOut<F32>,
    before: Out<F32>,
    /// What each simdgroup's rows are in the readings of a batch, twice.
    sums: Shared<F32>,
    /// The corrections of a chunk.
    written: Shared<F32>,
    /// What is left at the chunk's end of what a token writes.
    left: Shared<F32>,
}

impl Chunks {
    pub fn new(
        factors: Option<In<F32>>,
        readers: Option<In<F32>>,
        corrections: Option<InOut<F32>>,
        before: Option<Out<F32>>,
    ) -> Option<Self> {
        Some(Self {
            factors: factors?,
            readers: readers?,
            corrections: corrections?,
            before: before?,
            sums: shared("sums", 2 * BATCH * simdgroups() * LANES),
            written: shared("written", CHUNK * LANES),
            left: shared("left", CHUNK),
        })
    }
}

/// One chunk: its corrections, and what they do to the state.
#[device]
pub(super) fn chunk(w: &Work, c: &Chunks, row: Val<u32>) {
    let (args, part) = (&w.args, &w.part);
    let number = row / CHUNK;
    let of = number * args.heads + part.head;
    let kept = exp(total_log(c.factors, of));
    // until here they may have read of the chunk before
    barrier();
    for t in (thread()..CHUNK).step_by(threads()) {
        let mut log = 0.0;
        for after in t + 1..CHUNK {
            log += c.factors.at(factor_of(of, factor::LOG) + after);
        }
        c.left.set(t, exp(log) * c.factors.at(factor_of(of, factor::WRITE) + t));
    }
    if part.inside {
        for r in 0..part.state.len() {
            c.before.set(part.place(number, r), part.state[r]);
        }
    }
    for batch in (val(0)..CHUNK).step_by(BATCH) {
        let half = batch / BATCH % 2 * (BATCH * simdgroups() * LANES) + lane();
        for t in 0..BATCH {
            let reader = part.of_rows(c.readers, row + batch + t, part.head, args.heads);
            let mut sum = 0.0;
            for r in 0..part.state.len() {
                sum = fma(reader[r], part.state[r], sum);
            }
            c.sums.set(half + (simdgroup() + t * simdgroups()) * LANES, sum);
        }
        barrier();
        for t in (simdgroup()..BATCH).step_by(simdgroups()) {
            let mut known = 0.0;
            for g in 0..simdgroups() {
                known += c.sums.at(half + (t * simdgroups() + g) * LANES);
            }
            let mut correction = 0.0;
            if part.inside {
                let at = part.element(row + batch + t);
                correction = c.corrections.at(at) - known;
                c.corrections.set(at, correction);
            }
            c.written.set((batch + t) * LANES + lane(), correction);
        }
    }
    barrier();
    for r in 0..part.state.len() {
        part.state[r] *= kept;
    }
    for t in val(0)..CHUNK {
        let written = c.written.at(t * LANES + lane()) * c.left.at(t);
        let k = part.of_rows(w.keys, row + t, w.key_head, args.key_heads);
        for r in 0..part.state.len() {
            part.state[r] = fma(k[r], written, part.state[r]);
        }
    }
}
