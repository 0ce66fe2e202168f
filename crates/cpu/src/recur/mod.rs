//! Recurrences: dividing them among threads, and cutting runs where their states are computed otherwise or
//! saved.
//!
//! A run is cut at its saves and at multiples of [`CHUNK`] positions; what lies between is a [`Stretch`]. One
//! of [`CHUNK`] tokens is a whole chunk, computed as products of matrices; a shorter one goes token
//! by token, as in decoding. So bits depend on where a run is cut within chunks, and on nothing else.

mod lower;

use std::ops::Range;

use tessera_graph::{CHUNK, Run};

use crate::{
    isa::LANES,
    kernels::{
        conv::{Conv, Convolve},
        delta::{Correcting, Delta},
        scan::{Scan, Scanning},
        small::Matrix,
    },
    lower::Slot,
    step::Step,
};

pub(crate) use lower::scratch_bytes;

/// Consecutive tokens of a run, and where the state is before and after them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    /// First row.
    pub row: usize,
    /// Tokens, at most [`CHUNK`].
    pub len: usize,
    /// The state before; null at the beginning of a sequence, where it is zero.
    pub from: *const f32,
    /// The state after; may be `from`. Until then it is written after each token.
    pub to: *mut f32,
}

impl Stretch {
    /// Whether it is computed as a chunk.
    pub fn is_chunk(&self) -> bool {
        self.len == CHUNK
    }

    /// Part of the state: where it is before, made zero if it is nowhere, and after.
    ///
    /// # Safety
    /// The part is within the state, and this thread's.
    pub unsafe fn part(&self, at: usize, len: usize) -> (*const f32, *mut f32) {
        let to = self.to.wrapping_add(at);
        if self.from.is_null() {
            // SAFETY: the caller's.
            unsafe { to.write_bytes(0, len) };
            return (to, to);
        }
        (self.from.wrapping_add(at), to)
    }
}

/// An operation that remembers a state of fixed size.
pub(crate) struct Recurrence {
    kind: Kind,
    /// Byte offset of its state in a slot.
    offset: usize,
    pub out: Slot,
}

enum Kind {
    Conv { conv: Conv, x: Slot },
    Scan { scan: Scan, x: Slot, dt: Slot, b: Slot, c: Slot },
    Delta { delta: Delta, q: Slot, k: Slot, v: Slot, a: Slot, b: Slot },
}

impl Recurrence {
    /// What threads divide, and how many neighbours share work.
    fn units(&self) -> (usize, usize) {
        match &self.kind {
            Kind::Conv { conv, .. } => {
                let vectors = conv.channels.div_ceil(LANES);
                (vectors, vectors)
            }
            Kind::Scan { scan, .. } => (scan.heads, scan.heads / scan.groups),
            Kind::Delta { delta, .. } => (delta.heads, delta.heads / delta.key_heads),
        }
    }

    /// For a convolution, what it reads: it is the one that divides its input as it does its output, by
    /// channels.
    pub fn by_channels(&self) -> Option<Slot> {
        match &self.kind {
            Kind::Conv { x, .. } => Some(*x),
            _ => None,
        }
    }
}

/// A thread's share of a recurrence.
///
/// # Safety
/// As for [`Step::run`]: inputs have been made, and threads have met since, or this thread made those channels.
pub(crate) unsafe fn run(step: &Step<'_>, work: &Recurrence, thread: usize, scratch: *mut f32) {
    let (units, share) = work.units();
    let threads = step.model.pool.threads();
    let total = step.batch.tokens.len() * units;
    let mine = total * thread / threads..total * (thread + 1) / threads;
    for (index, run) in step.batch.runs.iter().enumerate() {
        let mut mine = units_within(&mine, run, units);
        while !mine.is_empty() {
            let end = mine.end.min((mine.start / share + 1) * share);
            for stretch in step.stretches(index, work.offset) {
                // SAFETY: these units are this thread's.
                unsafe { stretch_of(step, work, stretch, mine.start..end, scratch) };
            }
            mine.start = end;
        }
    }
}

/// Units of a run whose work begins within `mine`, where a unit of a token is one piece of work and all
/// of a run's tokens of a unit go together.
fn units_within(mine: &Range<usize>, run: &Run, units: usize) -> Range<usize> {
    let (row, len) = (run.row as usize, run.len as usize);
    let unit = |work: usize| work.saturating_sub(row * units).div_ceil(len).min(units);
    unit(mine.start)..unit(mine.end)
}

/// Some units of a recurrence over a stretch.
///
/// # Safety
/// As for [`run`]; the units are this thread's, and share what neighbours share.
unsafe fn stretch_of(
    step: &Step<'_>,
    work: &Recurrence,
    stretch: Stretch,
    units: Range<usize>,
    scratch: *mut f32,
) {
    let level = step.model.level;
    let matrix = |slot: &Slot| Matrix { p: slot.row(stretch.row), stride: slot.width };
    let out = work.out.row(stretch.row);
    // SAFETY: passed on; rows of the stretch are within the step.
    unsafe {
        match &work.kind {
            Kind::Conv { conv, x } => {
                level.run(Convolve { conv, stretch, vectors: units, x: matrix(x), out })
            }
            Kind::Scan { scan, x, dt, b, c } => level.run(Scanning {
                scan,
                stretch,
                heads: units,
                x: matrix(x),
                dt: matrix(dt),
                b: matrix(b),
                c: matrix(c),
                out,
                scratch,
            }),
            Kind::Delta { delta, q, k, v, a, b } => level.run(Correcting {
                delta,
                stretch,
                heads: units,
                q: matrix(q),
                k: matrix(k),
                v: matrix(v),
                a: matrix(a),
                b: matrix(b),
                out,
                scratch,
            }),
        }
    }
}

impl Step<'_> {
    /// The stretches of a run, for a state at a byte offset of its slots.
    fn stretches(&self, run: usize, offset: usize) -> impl Iterator<Item = Stretch> {
        let Run { row, len, position, .. } = self.batch.runs[run];
        let (first, count) = self.batch.runs[run].saves;
        let range = first as usize..(first + count) as usize;
        let mut saves = self.batch.saves[range.clone()].iter().zip(&self.model.saved[range]);
        let at = move |slot: *mut u8| slot.wrapping_add(offset).cast::<f32>();
        let read = self.model.read[run];
        let mut from = if read.is_null() { std::ptr::null() } else { at(read).cast_const() };
        let mut save = saves.next();
        let mut done = 0;
        std::iter::from_fn(move || {
            let (next, slot) = save.filter(|_| done < len)?;
            let chunk = CHUNK as u32 - (position + done) % CHUNK as u32;
            let here = chunk.min(next.after - done);
            let to = at(*slot);
            let stretch = Stretch { row: (row + done) as usize, len: here as usize, from, to };
            done += here;
            from = to.cast_const();
            if done == next.after {
                save = saves.next();
            }
            Some(stretch)
        })
    }
}

#[cfg(test)]
mod tests {
    use tessera_graph::NO_SLOT;

    use super::*;

    #[test]
    fn every_unit_of_every_run_is_one_threads() {
        let lengths = [1u32, 200, 1, 3, 64, 17];
        for (units, threads) in (1..30).flat_map(|units| (1..9).map(move |t| (units, t))) {
            let total = 286 * units;
            let mut row = 0;
            for len in lengths {
                let (tables, saves) = (0, (0, 0));
                let run = Run { row, len, position: 0, tables, slot: NO_SLOT, saves };
                let mut next = 0;
                for thread in 0..threads {
                    let mine = total * thread / threads..total * (thread + 1) / threads;
                    let mine = units_within(&mine, &run, units);
                    if !mine.is_empty() {
                        assert_eq!(mine.start, next, "{units} units on {threads} threads");
                        next = mine.end;
                    }
                }
                assert_eq!(next, units, "{units} units on {threads} threads");
                row += len;
            }
        }
    }
}
