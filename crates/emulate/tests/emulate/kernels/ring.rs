//! Sums over blocks of what the next thread staged, through a ring.

use tessera_tile::prelude::*;

use super::case::{Case, Draw, Expected, bytes_u32};

/// The ring's kernel.
#[derive(Name)]
struct Ring {
    /// Slots.
    depth: u32,
    /// By how many slots too far copies are staged: a mistake, unless it is 0.
    slip: u32,
}

#[derive(Clone, Copy, tessera_tile::Args)]
struct RingArgs {
    blocks: u32,
}

impl Spec for Ring {
    type Args = RingArgs;
    fn threads(&self) -> u32 {
        64
    }
    fn grid(&self, _: &RingArgs) -> [u32; 3] {
        [2, 1, 1]
    }
    fn check(&self, _: &RingArgs) -> Result<(), String> {
        Ok(())
    }
}

#[kernel]
fn ring_kernel(k: &Ring, x: In<U32>, y: Out<U32>, a: Args<RingArgs>) {
    let slot = 4 * threads();
    let ring = shared::<U32>("ring", k.depth * slot);
    let first = group(0) * a.blocks * slot;
    let (own, other) = (thread() * 4, (thread() + 1) % threads() * 4);
    for ahead in 0..k.depth - 1 {
        let from = ahead * slot + own;
        ring.stage_if::<4>(val(ahead) < a.blocks, from, x, first + from);
        commit_staged();
    }
    let mut sum = 0u32;
    for block in 0..a.blocks {
        wait_staged(k.depth - 2);
        barrier();
        let next = block + (k.depth - 1);
        let at = (next + k.slip) % k.depth * slot + own;
        ring.stage_if::<4>(next < a.blocks, at, x, first + next * slot + own);
        commit_staged();
        for word in ring.load::<4>(block % k.depth * slot + other) {
            sum = sum * 3 + word;
        }
    }
    wait_staged(0);
    y.set(group(0) * threads() + thread(), sum);
}

pub fn ring(depth: u32, blocks: usize, slip: u32) -> Case {
    let mut draw = Draw::new(blocks as u64);
    let x: Vec<u32> = (0..2 * blocks * 256).map(|_| draw.word()).collect();
    let of = |group: usize, thread: usize| {
        (0..blocks).fold(0u32, |sum, block| {
            let at = (group * blocks + block) * 256 + (thread + 1) % 64 * 4;
            x[at..at + 4].iter().fold(sum, |sum, word| sum.wrapping_mul(3).wrapping_add(*word))
        })
    };
    let y: Vec<u32> = (0..128).map(|i| of(i / 64, i % 64)).collect();
    let buffers = vec![bytes_u32(&x), vec![0x55; 4 * 128]];
    let args = RingArgs { blocks: blocks as u32 };
    Case::new(&Ring { depth, slip }, args, buffers, vec![(1, Expected::Bytes(bytes_u32(&y)))])
}
