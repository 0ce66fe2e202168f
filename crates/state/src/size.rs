//! How many bytes a sequence takes, before there is one.

use tessera_graph::{PAGE, StorageKind};

use crate::{Group, Keep};

/// Slots that a sequence needs to go on: the one that is read and the one that is saved.
const SLOTS: usize = 2;

/// Bytes of pages and slots that a sequence of `positions` holds at most while it grows by steps of up to
/// `step` tokens and keeps what `keep` says.
pub fn sequence_bytes(groups: &[Group], positions: usize, step: usize, keep: Keep) -> usize {
    groups
        .iter()
        .map(|group| {
            let blocks = sequence_blocks(group, positions, step, keep);
            blocks.saturating_mul(group.block_bytes)
        })
        .fold(0, usize::saturating_add)
}

/// Blocks of one group; see [`sequence_bytes`].
pub(crate) fn sequence_blocks(group: &Group, positions: usize, step: usize, keep: Keep) -> usize {
    let all = positions.div_ceil(PAGE);
    match group.kind {
        StorageKind::Pages { window: None } => all,
        // One page more, because the window need not start at a page's edge.
        StorageKind::Pages { window: Some(window) } => {
            let live = window.saturating_add(keep.rollback).saturating_add(step);
            all.min(live.div_ceil(PAGE) + 1)
        }
        // A run of a prompt saves at a page's edge as well.
        StorageKind::Slots if positions > 0 => {
            let kept = keep.checkpoints + usize::from(keep.checkpoints > 0);
            SLOTS + kept
        }
        StorageKind::Slots => 0,
    }
}

/// The longest sequence, of at most `limit` positions, whose pages and slots fit `bytes`; see
/// [`sequence_bytes`]. 0 when not even one block of each group fits.
pub fn longest_sequence(
    groups: &[Group],
    limit: usize,
    step: usize,
    keep: Keep,
    bytes: usize,
) -> usize {
    let fits = |pages: usize| sequence_bytes(groups, pages * PAGE, step, keep) <= bytes;
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

    const GROUPS: [Group; 2] = [
        Group { kind: StorageKind::Pages { window: None }, block_bytes: 1000 },
        Group { kind: StorageKind::Pages { window: Some(100) }, block_bytes: 10 },
    ];
    const KEEP: Keep = Keep { rollback: 0, checkpoints: 0 };

    #[test]
    fn windows_stop_growing() {
        assert_eq!(sequence_bytes(&GROUPS, 0, 64, KEEP), 0);
        assert_eq!(sequence_bytes(&GROUPS, 1, 64, KEEP), 1010);
        assert_eq!(sequence_bytes(&GROUPS, 64 * 100, 64, KEEP), 100_000 + 10 * (3 + 1));
    }

    #[test]
    fn slots_do_not_grow() {
        let groups = [Group { kind: StorageKind::Slots, block_bytes: 100 }];
        assert_eq!(sequence_bytes(&groups, 1, 64, KEEP), 200);
        assert_eq!(sequence_bytes(&groups, 1 << 20, 64, KEEP), 200);
        let keep = Keep { checkpoints: 2, ..KEEP };
        assert_eq!(sequence_bytes(&groups, 1 << 20, 64, keep), 500);
        assert_eq!(longest_sequence(&groups, 1 << 20, 64, KEEP, 200), 1 << 20);
        assert_eq!(longest_sequence(&groups, 1 << 20, 64, KEEP, 199), 0);
    }

    #[test]
    fn the_longest_that_fits() {
        assert_eq!(longest_sequence(&GROUPS, 5000, 64, KEEP, 1009), 0);
        assert_eq!(longest_sequence(&GROUPS, 5000, 64, KEEP, 1010), 64);
        assert_eq!(longest_sequence(&GROUPS, 5000, 64, KEEP, 10_040), 640);
        assert_eq!(longest_sequence(&GROUPS, 5000, 64, KEEP, usize::MAX), 5000);
    }
}
