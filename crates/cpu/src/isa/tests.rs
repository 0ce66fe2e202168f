//! Every instruction set against plain Rust, operation by operation.

use super::{Isa, Kernel, LANES, Level};

/// Inputs of one round.
#[derive(Clone, Copy)]
struct Inputs {
    a: [f32; LANES],
    b: [f32; LANES],
    codes: [u8; 4 * LANES],
    x: i32,
}

/// Results of one round, and how far each may be off, relative to its size.
type Results = Vec<(&'static str, Vec<f32>, f32)>;

struct Everything(Inputs);

impl Kernel for Everything {
    type Output = Results;

    const PAIRS: bool = true;

    #[inline(always)]
    unsafe fn run<S: Isa>(self) -> Results {
        let Inputs { a, b, codes, x } = self.0;
        let mut out = Results::new();
        // SAFETY: arrays hold whole vectors; the level is available.
        unsafe {
            let lanes = |v: S::F| {
                let mut y = vec![0.0; LANES];
                S::store(y.as_mut_ptr(), v);
                y
            };
            let halves = |store: unsafe fn(*mut u16, S::F), v: S::F| {
                let mut y = vec![0u16; LANES];
                store(y.as_mut_ptr(), v);
                y.into_iter().map(f32::from).collect::<Vec<f32>>()
            };
            let (va, vb) = (S::load(a.as_ptr()), S::load(b.as_ptr()));
            let one = S::splat(1.0);
            let c = S::load_bytes(codes.as_ptr());
            let small = S::and(c, S::splat_byte(0x7f));
            out.push(("add", lanes(S::add(va, vb)), 0.0));
            out.push(("sub", lanes(S::sub(va, vb)), 0.0));
            out.push(("mul", lanes(S::mul(va, vb)), 0.0));
            out.push(("div", lanes(S::div(va, S::add(one, S::abs(vb)))), 0.0));
            out.push(("reciprocal", lanes(S::reciprocal(S::add(one, S::abs(vb)))), 3e-7));
            out.push(("fma", lanes(S::fma(va, vb, one)), 3e-6));
            out.push(("max", lanes(S::max(va, vb)), 0.0));
            out.push(("min", lanes(S::min(va, vb)), 0.0));
            out.push(("select_gt", lanes(S::select_gt(va, vb, va, one)), 0.0));
            out.push(("keep", lanes(S::keep(va, 3, 11, 0.5)), 0.0));
            out.push(("largest", vec![S::largest(va)], 0.0));
            out.push(("sum", vec![S::sum(S::abs(va))], 1e-6));
            out.push(("round", lanes(S::to_float(S::round(S::mul(va, S::splat(9.0))))), 0.0));
            out.push(("sum_i", vec![S::sum_i(S::round(S::mul(va, S::splat(99.0)))) as f32], 0.0));
            out.push(("exp2_int", lanes(S::exp2_int(S::round(va))), 0.0));
            out.push(("store_f16", halves(S::store_f16, va), 0.0));
            out.push(("store_bf16", halves(S::store_bf16, va), 0.0));
            out.push(("load_f16", lanes(S::load_f16(HALVES.as_ptr())), 0.0));
            out.push(("load_bf16", lanes(S::load_bf16(HALVES.as_ptr())), 0.0));
            out.push(("load_i8", lanes(S::load_i8(codes.as_ptr().cast())), 0.0));
            out.push(("load_u8", lanes(S::load_u8(codes.as_ptr())), 0.0));
            out.push(("load_e8m0", lanes(S::load_e8m0(codes.as_ptr())), 0.0));
            let start = S::splat_i(-7);
            out.push(("dot", lanes(S::to_float(S::dot::<false>(start, small, x))), 0.0));
            out.push(("dot wide", lanes(S::to_float(S::dot::<true>(start, c, x))), 0.0));
            let shifted = S::or(S::and(S::shr::<4>(c), S::splat_byte(15)), S::shl::<4>(small));
            out.push(("byte 1", lanes(S::byte::<1>(shifted)), 0.0));
            out.push(("byte_e4m3", lanes(S::byte_e4m3::<2>(small)), 0.0));
            let index = S::and(c, S::splat_byte(15));
            out.push(("lookup", lanes(S::byte::<3>(S::lookup(c, index))), 0.0));
            // pairs of bfloat16: the products are summed in the order of the machine
            let mut pairs = [0u16; 2 * LANES];
            S::store_bf16(pairs.as_mut_ptr(), va);
            S::store_bf16(pairs.as_mut_ptr().add(LANES), vb);
            let pairs = S::load_bytes(pairs.as_ptr().cast());
            out.push(("dot_pair", lanes(S::dot_pair(one, pairs, 0x3fc0_be80)), 2e-6));
        }
        out
    }
}

/// Normal, subnormal and negative halves.
const HALVES: [u16; LANES] = [
    0x3c00, 0xbc00, 0x0001, 0x8400, 0x7bff, 0x0000, 0x8000, 0x3555, 0x1234, 0xc0de, 0x5640, 0x0400,
    0x03ff, 0x4248, 0xd640, 0x2e66,
];

#[test]
fn every_level_does_what_plain_rust_does() {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as u32
    };
    for _ in 0..200 {
        let mut float = || (next() as f32 / (1u32 << 30) as f32 - 1.0) * 10.0;
        let (a, b) = (std::array::from_fn(|_| float()), std::array::from_fn(|_| float()));
        // a table is sixteen bytes, repeated
        let mut codes = [0u8; 4 * LANES];
        let quarter: [u8; LANES] = std::array::from_fn(|_| next() as u8);
        codes.chunks_exact_mut(LANES).for_each(|c| c.copy_from_slice(&quarter));
        // activations are never -128
        let x = i32::from_le_bytes(
            std::array::from_fn(|_| (next() % 255) as u8 ^ 0x80)
                .map(|b| if b == 0x80 { 0x81 } else { b }),
        );
        let inputs = Inputs { a, b, codes, x };
        // SAFETY: plain Rust runs everywhere.
        let want = unsafe { Level::Portable.run(Everything(inputs)) };
        for level in Level::available() {
            // SAFETY: the level is available.
            let got = unsafe { level.run(Everything(inputs)) };
            for ((name, want, tolerance), (_, got, _)) in want.iter().zip(&got) {
                for (w, g) in want.iter().zip(got) {
                    let off = (w - g).abs();
                    // sums that cancel are off by a part of their terms
                    let size = w.abs().max(if *tolerance > 0.0 { 1.0 } else { 0.0 });
                    assert!(
                        off <= tolerance * size || w.to_bits() == g.to_bits(),
                        "{name} on {level}: {g} instead of {w}"
                    );
                }
            }
        }
    }
}
