//! Fetching a state ahead of a walk over it.

use crate::isa::{LANES, prefetch};

/// How many floats ahead of its use a state is fetched; see the same for weights. Heads lie one behind the
/// other, so a walk's end fetches what the next begins with.
const AHEAD: usize = 1600;

/// Fetches `V` vectors that lie [`AHEAD`] of where a state is read and, if that is elsewhere, written.
#[inline(always)]
pub(super) fn fetch_ahead<const V: usize>(from: *const f32, to: *mut f32) {
    for v in 0..V {
        prefetch(from.wrapping_add(AHEAD + v * LANES).cast());
        if from != to.cast_const() {
            prefetch(to.wrapping_add(AHEAD + v * LANES).cast_const().cast());
        }
    }
}
