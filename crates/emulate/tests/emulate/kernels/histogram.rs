//! How often each byte occurs: counted in shared memory, then added to the result, atomically both.

use tessera_tile::prelude::*;

use super::case::{Case, Draw, Expected, bytes_u32};

#[derive(Name)]
struct Histogram;

#[derive(Clone, Copy, tessera_tile::Args)]
struct HistogramArgs {
    len: u32,
}

const BINS: u32 = 256;

/// Bytes that a threadgroup counts.
const SPAN: u32 = 300;

impl Spec for Histogram {
    type Args = HistogramArgs;
    fn threads(&self) -> u32 {
        96
    }
    fn grid(&self, a: &HistogramArgs) -> [u32; 3] {
        [a.len.div_ceil(SPAN), 1, 1]
    }
    fn check(&self, _: &HistogramArgs) -> Result<(), String> {
        Ok(())
    }
}

#[kernel]
fn histogram_kernel(_k: &Histogram, bytes: In<U8>, bins: InOut<U32>, a: Args<HistogramArgs>) {
    let local = shared::<U32>("local", BINS);
    for bin in (thread()..BINS).step_by(threads()) {
        local.set(bin, 0u32);
    }
    barrier();
    let from = group(0) * SPAN;
    for i in (from + thread()..min(from + SPAN, a.len)).step_by(threads()) {
        atomic_add(local, bytes.at(i), 1u32);
    }
    barrier();
    for bin in (thread()..BINS).step_by(threads()) {
        let count = local.at(bin);
        if count > 0u32 {
            atomic_add(bins, bin, count);
        }
    }
}

pub fn histogram(len: usize) -> Case {
    let mut draw = Draw::new(len as u64);
    // Some bytes much more often than others.
    let bytes: Vec<u8> = (0..len).map(|_| (draw.word() & draw.word()) as u8).collect();
    let mut bins: Vec<u32> = (0..BINS).collect();
    let before = bytes_u32(&bins);
    bytes.iter().for_each(|&byte| bins[usize::from(byte)] += 1);
    let expected = vec![(1, Expected::Bytes(bytes_u32(&bins)))];
    Case::new(&Histogram, HistogramArgs { len: len as u32 }, vec![bytes, before], expected)
}
