//! Sums of products: a lane's own, and those of the simdgroups that divide a row.

use tessera_tile::prelude::*;

use super::{
    Matvec,
    input::{Input, stage},
};
use crate::codes::{Packed, Planes, STEP};

/// Multiplies `rows` with the input, all columns that fall to the lane, whose block is `place` of each as many as the lanes
/// of a row.
pub(super) fn make_sums(
    input: &Input<'_>,
    w: &Planes,
    rows: &[Val<u32>],
    place: Val<u32>,
    sums: &[Vec<Var<f32>>],
    squares: &[Var<f32>],
) {
    let k = input.k;
    let steps = div_ceil(input.a.cols, STEP);
    let places: Vec<_> =
        (0..k.blocks).step_by((k.split * LANES) as usize).map(|first| place + first).collect();
    // beyond the end the input is zeros, and any weights will do
    let read = |turn: u32| -> Vec<Vec<Packed>> {
        let of = |&place: &Val<u32>| {
            let block = min(place + turn * k.blocks, steps - 1);
            rows.iter().map(|&row| w.read(row, block, steps)).collect()
        };
        places.iter().map(of).collect()
    };
    let mut next = Some(read(0));
    for turn in 0..k.turns {
        let packed = next.take().unwrap_or_default();
        if turn > 0 {
            barrier();
        }
        stage(input, turn, squares);
        if turn + 1 < k.turns {
            next = Some(read(turn + 1));
        }
        barrier();
        for (&place, packed) in places.iter().zip(&packed) {
            for v in 0..k.batch {
                let (elements, total) = input.elements(v, place);
                for (sums, packed) in sums.iter().zip(packed) {
                    add(&sums[v as usize], w.product(packed, &elements, total));
                }
            }
        }
    }
}

#[device]
fn add(sum: &Var<f32>, product: Val<f32>) {
    *sum = sum.get() + product;
}

/// Sums over all simdgroups that divide a row, for the first of these.
#[device]
pub(super) fn together(k: &Matvec, sums: &[Val<f32>]) -> Vec<Val<f32>> {
    if k.split == 1 {
        sums.to_vec()
    } else {
        let all = shared::<F32>("parts", k.simdgroups * sums.len() as u32);
        if lane() == 0 {
            for (i, sum) in (0u32..).zip(sums) {
                all.set(simdgroup() + i * k.simdgroups, *sum);
            }
        }
        barrier();
        let first = simdgroup() / k.split * k.split;
        let total = |i: u32| {
            let parts = (0..k.split).map(|part| all.at(first + (part + i * k.simdgroups)));
            parts.reduce(|a, b| a + b).expect("a part")
        };
        (0..sums.len() as u32).map(total).collect()
    }
}
