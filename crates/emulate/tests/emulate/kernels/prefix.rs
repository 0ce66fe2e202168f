//! Sums of all that stands before, within spans of 256 elements, and each span's whole sum.

use tessera_tile::prelude::*;

use super::case::{Case, Draw, Expected, bytes_u32};

#[derive(Name)]
struct Prefix;

#[derive(Clone, Copy, tessera_tile::Args)]
struct PrefixArgs {
    len: u32,
}

impl Spec for Prefix {
    type Args = PrefixArgs;
    fn threads(&self) -> u32 {
        256
    }
    fn grid(&self, a: &PrefixArgs) -> [u32; 3] {
        [a.len.div_ceil(256), 1, 1]
    }
    fn check(&self, _: &PrefixArgs) -> Result<(), String> {
        Ok(())
    }
}

#[kernel]
fn prefix_kernel(_k: &Prefix, x: In<U32>, before: Out<U32>, sums: Out<U32>, a: Args<PrefixArgs>) {
    let totals = shared::<U32>("totals", simdgroups());
    let i = group(0) * threads() + thread();
    let mut value = 0u32;
    if i < a.len {
        value = x.at(i);
    }
    let within = simd_prefix_sum(value);
    if lane() == LANES - 1 {
        totals.set(simdgroup(), within + value);
    }
    barrier();
    let mut sum = 0u32;
    let mut others = 0u32;
    for s in 0..simdgroups() {
        let total = totals.at(s);
        others = others + select(simdgroup() > s, total, 0u32);
        sum = sum + total;
    }
    if i < a.len {
        before.set(i, others + within);
    }
    if thread() == 0 {
        sums.set(group(0), sum);
    }
}

pub fn prefix(len: usize) -> Case {
    let mut draw = Draw::new(len as u64);
    let x: Vec<u32> = (0..len).map(|_| draw.word()).collect();
    let (mut before, mut sums) = (Vec::new(), Vec::new());
    for span in x.chunks(256) {
        let mut sum = 0u32;
        for value in span {
            before.push(sum);
            sum = sum.wrapping_add(*value);
        }
        sums.push(sum);
    }
    let buffers = vec![bytes_u32(&x), vec![0x55; 4 * len], vec![0x55; 4 * sums.len()]];
    let expected =
        vec![(1, Expected::Bytes(bytes_u32(&before))), (2, Expected::Bytes(bytes_u32(&sums)))];
    Case::new(&Prefix, PrefixArgs { len: len as u32 }, buffers, expected)
}
