//! How many bytes a sequence takes, before there is one.

use tessera_graph::PAGE;

use crate::Group;

/// Bytes of pages that a sequence of `positions` holds at most while it grows by steps of up to `step`
/// tokens and keeps `rollback` positions behind its windows.
pub fn sequence_bytes(groups: &[Group], positions: usize, step: usize, rollback: usize) -> usize {
    groups
        .iter()
        .map(|group| {
            let pages = sequence_pages(group, positions, step, rollback);
            pages.saturating_mul(group.page_bytes)
        })
        .fold(0, usize::saturating_add)
}

/// Pages of one group; see [`sequence_bytes`].
pub(crate) fn sequence_pages(
    group: &Group,
    positions: usize,
    step: usize,
    rollback: usize,
) -> usize {
    let all = positions.div_ceil(PAGE);
    match group.window {
        None => all,
        // One page more, because the window need not start at a page's edge.
        Some(window) => {
            let live = window.saturating_add(rollback).saturating_add(step);
            all.min(live.div_ceil(PAGE) + 1)
        }
    }
}

/// The longest sequence, of at most `limit` positions, whose pages fit `bytes`; see
/// [`sequence_bytes`]. 0 when not even one page of each group fits.
pub fn longest_sequence(
    groups: &[Group],
    limit: usize,
    step: usize,
    rollback: usize,
    bytes: usize,
) -> usize {
    let fits = |pages: usize| sequence_bytes(groups, pages * PAGE, step, rollback) <= bytes;
    let (mut low, mut high) = (0, limit.div_ceil(PAGE));
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if fits(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    (low * PAGE).min(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: [Group; 2] =
        [Group { window: None, page_bytes: 1000 }, Group { window: Some(100), page_bytes: 10 }];

    #[test]
    fn windows_stop_growing() {
        assert_eq!(sequence_bytes(&GROUPS, 0, 64, 0), 0);
        assert_eq!(sequence_bytes(&GROUPS, 1, 64, 0), 1010);
        assert_eq!(sequence_bytes(&GROUPS, 64 * 100, 64, 0), 100_000 + 10 * (3 + 1));
    }

    #[test]
    fn the_longest_that_fits() {
        assert_eq!(longest_sequence(&GROUPS, 5000, 64, 0, 1009), 0);
        assert_eq!(longest_sequence(&GROUPS, 5000, 64, 0, 1010), 64);
        assert_eq!(longest_sequence(&GROUPS, 5000, 64, 0, 10_040), 640);
        assert_eq!(longest_sequence(&GROUPS, 5000, 64, 0, usize::MAX), 5000);
    }
}
