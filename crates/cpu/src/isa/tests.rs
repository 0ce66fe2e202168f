//! Every operation of every instruction set against plain Rust, bit for bit but for those that round
//! as the machine does.

use half::{bf16, f16};

use super::{Isa, Kernel, LANES, Level};

/// Results of each operation, by name.
type Results = Vec<(&'static str, Vec<u32>)>;

/// Runs every operation.
struct All;

/// The lanes' bits; every NaN is the same one.
unsafe fn bits<S: Isa>(x: S::F) -> [u32; LANES] {
    let mut lanes = [0.0f32; LANES];
    // SAFETY: a whole vector of the array.
    unsafe { S::store(lanes.as_mut_ptr(), x) };
    lanes.map(|x| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() })
}

/// The bytes, as floats.
unsafe fn bytes<S: Isa>(x: S::B) -> Vec<u32> {
    // SAFETY: the caller's machine has `S`.
    unsafe {
        let [a, b, c, d] = [S::byte::<0>(x), S::byte::<1>(x), S::byte::<2>(x), S::byte::<3>(x)];
        [a, b, c, d].into_iter().flat_map(|x| bits::<S>(x)).collect()
    }
}

/// Numbers of all sizes, some of them special.
fn floats(seed: u32) -> [f32; LANES] {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    std::array::from_fn(|i| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        match (i, seed % 4) {
            (3, 0) => f32::INFINITY,
            (5, 0) => -0.0,
            (7, 1) => f32::NEG_INFINITY,
            (_, 0 | 1) => f16::from_bits((state >> 16) as u16 & 0xbfff).to_f32() * 1.1,
            (_, 2) => (state as i32 >> 20) as f32 / 8.0,
            _ => f32::from_bits((state & 0x8fff_ffff) | 0x3000_0000),
        }
    })
}

/// Small integers, of which sums of products are exact.
fn integers(seed: u32) -> [f32; LANES] {
    std::array::from_fn(|i| ((i as u32 * 37 + seed * 101) % 511) as f32 - 255.0)
}

/// Bytes of all values.
fn every(seed: u32) -> [u8; 64] {
    std::array::from_fn(|i| (i as u32 * 77 + seed * 59 + ((i as u32 * seed) >> 3)) as u8)
}

/// Bits `N ..` of each byte, moved down, and what of it was not shifted out, moved up.
unsafe fn shifts<S: Isa, const N: i32>(x: S::B) -> Vec<u32> {
    // SAFETY: the caller's machine has `S`.
    unsafe {
        let down = S::and(S::shr::<N>(x), S::splat_byte(0xff >> N));
        let up = S::and(S::shl::<N>(x), S::splat_byte(0xff << N));
        [bytes::<S>(down), bytes::<S>(up), bytes::<S>(S::or(down, up))].concat()
    }
}

impl Kernel for All {
    type Output = Results;

    const PAIRS: bool = true;

    #[inline(always)]
    unsafe fn run<S: Isa>(self) -> Results {
        let mut results = Results::new();
        // SAFETY: `Level::run` is told an available level; all pointers are to whole vectors of arrays.
        unsafe {
            for seed in 0..400 {
                arithmetic::<S>(seed, &mut results);
                integer::<S>(seed, &mut results);
            }
            conversions::<S>(&mut results);
        }
        results
    }
}

#[inline(always)]
unsafe fn arithmetic<S: Isa>(seed: u32, results: &mut Results) {
    // SAFETY: the caller's machine has `S`; whole vectors of arrays.
    unsafe {
        let mut note = |what, x| results.push((what, bits::<S>(x).to_vec()));
        let (a, b, c) = (floats(seed), floats(seed + 500), floats(seed + 1000));
        let load = |x: &[f32; LANES]| S::load(x.as_ptr());
        let (a, b, c) = (load(&a), load(&b), load(&c));
        note("add", S::add(a, b));
        note("sub", S::sub(a, b));
        note("mul", S::mul(a, b));
        note("div", S::div(a, b));
        note("max", S::max(a, b));
        note("min", S::min(a, b));
        note("abs", S::abs(a));
        note("select_gt", S::select_gt(a, b, c, S::splat(seed as f32)));
        // infinities of both signs differ to NaN, which is never greater
        note("select_gt, NaN", S::select_gt(S::sub(a, a), c, a, b));
        let (lo, hi) = (seed as usize % 17, seed as usize / 17 % 17);
        note("keep", S::keep(a, lo.min(hi), hi, -1.5));
        let (x, y, z) = (integers(seed), integers(seed + 7), integers(seed + 14));
        note("fma", S::fma(load(&x), load(&y), load(&z)));
        let (x, y) = (S::add(S::abs(load(&x)), S::splat(1.1)), floats(seed * 4 + 3));
        let inverse = bits::<S>(S::mul(S::reciprocal(x), x)).map(f32::from_bits);
        results.push(("reciprocal", inverse.map(|x| u32::from((x - 1.0).abs() < 3e-7)).to_vec()));
        let fused = bits::<S>(S::fma(x, load(&y), x)).map(f32::from_bits);
        let two = bits::<S>(S::add(S::mul(x, load(&y)), x)).map(f32::from_bits);
        // three roundings of numbers below 1024
        let near = fused.iter().zip(two).map(|(a, b)| u32::from((a - b).abs() < 1e-4));
        results.push(("fma, rounded", near.collect()));
        results.push(("sum", vec![S::sum(S::load(floats(seed * 4 + 3).as_ptr())).to_bits()]));
        results.push(("largest", vec![S::largest(a).to_bits()]));

        let mut halves = [0u16; LANES];
        S::store_f16(halves.as_mut_ptr(), a);
        results.push(("store_f16", halves.map(u32::from).to_vec()));
        S::store_bf16(halves.as_mut_ptr(), b);
        results.push(("store_bf16", halves.map(u32::from).to_vec()));
        S::store_bf16(halves.as_mut_ptr(), S::splat(f32::NAN));
        results
            .push(("store_bf16, NaN", halves.map(|x| bf16::from_bits(x).is_nan().into()).into()));
        // sums of products of pairs that bfloat16 holds
        let pairs = |seed| integers(seed).map(|x| bf16::from_f32(x).to_bits());
        let pairs: Vec<u16> = [pairs(seed), pairs(seed + 3)].concat();
        let (p, q) = (S::load_bytes(pairs.as_ptr().cast()), pairs[seed as usize % 32]);
        let x = u32::from(q) << 16 | u32::from(pairs[seed as usize % 31]);
        results.push(("dot_pair", bits::<S>(S::dot_pair(load(&z), p, x)).to_vec()));
    }
}

#[inline(always)]
unsafe fn integer<S: Isa>(seed: u32, results: &mut Results) {
    // SAFETY: the caller's machine has `S`; whole vectors of arrays.
    unsafe {
        let mut note = |what, x: Vec<u32>| results.push((what, x));
        let (a, b) = (every(seed), every(seed * 3 + 1));
        let small = a.map(|x| x & 127);
        let (a, b, small) =
            (S::load_bytes(a.as_ptr()), S::load_bytes(b.as_ptr()), S::load_bytes(small.as_ptr()));
        note("bytes", bytes::<S>(a));
        note("and", bytes::<S>(S::and(a, b)));
        note("or", bytes::<S>(S::or(a, b)));
        note("shift 1", shifts::<S, 1>(a));
        note("shift 2", shifts::<S, 2>(a));
        note("shift 3", shifts::<S, 3>(a));
        note("shift 4", shifts::<S, 4>(a));
        note("shift 5", shifts::<S, 5>(a));
        note("shift 6", shifts::<S, 6>(a));
        note("shift 7", shifts::<S, 7>(a));
        let table: [u8; 64] = std::array::from_fn(|i| every(seed + 2)[i % 16]);
        let index = S::and(b, S::splat_byte(15));
        note("lookup", bytes::<S>(S::lookup(S::load_bytes(table.as_ptr()), index)));

        // no byte is -128; the first are extreme
        let x = match seed {
            0 => [127; 4],
            1 => [-127; 4],
            2 => [127, -127, 127, -127],
            _ => std::array::from_fn(|i| (every(seed + 9)[i] as i8).max(-127)),
        };
        let x = i32::from_le_bytes(x.map(|x: i8| x as u8));
        let (most, wide) = (S::splat_byte(127), S::splat_byte(255));
        let start = S::splat_i(seed as i32 * 7 - 1000);
        let lanes = |x| bits::<S>(S::to_float(x)).to_vec();
        note("dot", lanes(S::dot::<false>(start, small, x)));
        note("dot, 127", lanes(S::dot::<false>(start, most, x)));
        note("dot, wide", lanes(S::dot::<true>(start, a, x)));
        note("dot, 255", lanes(S::dot::<true>(start, wide, x)));
        note("dot, 0", lanes(S::dot::<true>(start, S::splat_byte(0), x)));
        let sum = S::sum_i(S::add_i(S::dot::<true>(start, b, x), start));
        note("sum_i", vec![sum as u32]);
    }
}

#[inline(always)]
unsafe fn conversions<S: Isa>(results: &mut Results) {
    // SAFETY: the caller's machine has `S`; whole vectors of arrays.
    unsafe {
        let mut note = |what, x| results.push((what, bits::<S>(x).to_vec()));
        for first in (0..=u16::MAX).step_by(LANES) {
            let halves: [u16; LANES] = std::array::from_fn(|i| first + i as u16);
            note("load_f16", S::load_f16(halves.as_ptr()));
            note("load_bf16", S::load_bf16(halves.as_ptr()));
        }
        // halfway to the next half or bfloat16, a little less, a little more; from zero to beyond the largest
        for bits in 0..0x7c00 {
            let (a, b) = (f16::from_bits(bits).to_f32(), f16::from_bits(bits + 1).to_f32());
            let middle = if b.is_finite() { (a + b) / 2.0 } else { 65520.0 };
            near_ties::<S>(middle, S::store_f16, "store_f16, ties", results);
        }
        // from the smallest normal number: below it some machines store zero
        for bits in (0x80..0x7f80).step_by(5) {
            let middle = f32::from_bits(bits << 16 | 0x8000);
            near_ties::<S>(middle, S::store_bf16, "store_bf16, ties", results);
        }
        let mut note = |what, x| results.push((what, bits::<S>(x).to_vec()));
        for first in (0..=u8::MAX).step_by(LANES) {
            let all: [u8; 64] = std::array::from_fn(|i| first.wrapping_add(i as u8));
            note("load_u8", S::load_u8(all.as_ptr()));
            note("load_i8", S::load_i8(all.as_ptr().cast()));
            note("load_e8m0", S::load_e8m0(all.as_ptr()));
            let b = S::load_bytes(all.as_ptr());
            note("byte_e4m3 0", S::byte_e4m3::<0>(b));
            note("byte_e4m3 1", S::byte_e4m3::<1>(b));
            note("byte_e4m3 2", S::byte_e4m3::<2>(b));
            note("byte_e4m3 3", S::byte_e4m3::<3>(b));
        }
        for first in (-128..128).step_by(LANES) {
            let near: [f32; LANES] = std::array::from_fn(|i| (first + i as i32) as f32);
            let near = S::load(near.as_ptr());
            note("exp2_int", S::exp2_int(S::round(S::max(near, S::splat(-126.0)))));
            for part in [0.0, 0.49, 0.5, -0.5] {
                note("round", S::to_float(S::round(S::add(near, S::splat(part)))));
            }
            let mut bytes = [0i8; LANES];
            S::store_i8(bytes.as_mut_ptr(), S::round(near));
            note("store_i8", S::load_i8(bytes.as_ptr()));
        }
    }
}

/// Numbers around one that lies in the middle, of both signs.
#[inline(always)]
unsafe fn near_ties<S: Isa>(
    middle: f32,
    store: unsafe fn(*mut u16, S::F),
    what: &'static str,
    results: &mut Results,
) {
    let (bits, minus) = (middle.to_bits(), (-middle).to_bits());
    let lanes = [bits, bits - 1, bits + 1, minus, minus - 1, minus + 1];
    let lanes: [f32; LANES] = std::array::from_fn(|i| f32::from_bits(lanes[i % 6]));
    let mut rounded = [0u16; LANES];
    // SAFETY: the caller's machine has `S`; whole vectors of arrays.
    unsafe { store(rounded.as_mut_ptr(), S::load(lanes.as_ptr())) };
    results.push((what, rounded.map(u32::from).to_vec()));
}

#[test]
fn every_operation_is_plain_rusts() {
    // SAFETY: the level runs anywhere, and the kernel reads only its own arrays.
    let want = unsafe { Level::Portable.run(All) };
    for level in Level::available() {
        // SAFETY: the level is available.
        let got = unsafe { level.run(All) };
        assert_eq!(got.len(), want.len());
        for (i, ((what, got), (_, want))) in got.iter().zip(&want).enumerate() {
            assert_eq!(got, want, "{what} on {level}, result {i}");
        }
    }
}

#[test]
fn names_are_read_back() {
    for level in Level::ALL {
        match level.to_string().parse::<Level>() {
            Ok(read) => assert!(read == level && Level::available().contains(&level)),
            Err(why) => {
                assert!(!Level::available().contains(&level));
                assert!(why.contains(&level.to_string()), "{why}");
            }
        }
    }
    assert!("sse2".parse::<Level>().unwrap_err().contains("neon-i8mm"));
}
