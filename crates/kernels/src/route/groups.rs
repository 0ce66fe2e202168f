//! Groups of experts that are not considered.

use tessera_graph::RouteGroups;
use tessera_tile::prelude::*;

use super::{LOW, Route};

/// Sets the keys of experts in groups that are not considered to [`LOW`].
#[device]
pub(super) fn drop_groups(
    k: &Route,
    groups: RouteGroups,
    ids: &[Val<u32>],
    choices: &[Val<f32>],
    keys: &[Var<f32>],
) {
    let (count, kept) = (groups.count as u32, groups.kept as u32);
    let size = k.experts / count;
    let all = shared::<F32>("choices", simdgroups() * k.experts);
    let sums = shared::<F32>("sums", simdgroups() * count);
    let first = simdgroup() * k.experts;
    for r in 0..ids.len() {
        if ids[r] < k.experts {
            all.set(first + ids[r], choices[r]);
        }
    }
    simd_barrier();
    for group in (lane()..count).step_by(LANES) {
        let mut best = LOW;
        let mut second = LOW;
        for i in 0..val(size) {
            let x = all.at(first + group * size + i);
            second = max(second, min(best, x));
            best = max(best, x);
        }
        sums.set(simdgroup() * count + group, if size == 1 { best.get() } else { best + second });
    }
    simd_barrier();
    for r in 0..ids.len() {
        let group = min(ids[r] / size, count - 1);
        let sum = sums.at(simdgroup() * count + group);
        let mut before = 0u32;
        for other in 0..val(count) {
            let theirs = sums.at(simdgroup() * count + other);
            let better = (theirs > sum) | ((theirs == sum) & (other < group));
            before += better.u32();
        }
        keys[r] = select(before < kept, keys[r], LOW);
    }
}
