//! Every operation, on numbers that are hard, gives the same bits as Metal text, as CUDA text, and in the simulator.

use crate::ready;
use tessera_emulate::{Language, Library, Order, Sanitizer};
use tessera_tile::{
    Program,
    ir::Elem,
    prelude::*,
    sim::{Binding, Checks, Kernel, Memory},
};

/// Threads, and elements of each input.
const THREADS: u32 = 64;

/// Results of a thread, at most.
const RESULTS: u32 = 48;

#[derive(Clone, Copy, tessera_tile::Args)]
struct None_ {}

macro_rules! spec {
    ($spec:ident) => {
        #[derive(Name)]
        struct $spec;
        impl Spec for $spec {
            type Args = None_;
            fn threads(&self) -> u32 {
                THREADS
            }
            fn grid(&self, _: &None_) -> [u32; 3] {
                [1, 1, 1]
            }
            fn check(&self, _: &None_) -> Result<(), String> {
                Ok(())
            }
        }
    };
}

spec!(Floats);
spec!(Wholes);
spec!(Lanes);

#[kernel]
fn floats(_k: &Floats, x: In<F32>, n: In<I32>, u: In<U32>, y: Out<F32>, m: Out<I32>, w: Out<U32>) {
    let i = thread();
    let a = x.at(i);
    let b = x.at((i * 7 + 3) % THREADS);
    let c = x.at((i * 5 + 1) % THREADS);
    let values = [
        a + b,
        a - b,
        a * b,
        a / b,
        -a,
        abs::<f32>(a),
        fma(a, b, c),
        min::<f32>(a, b),
        max::<f32>(a, b),
        sqrt(a),
        floor(a),
        round(a),
        select(a < b, a, c),
        (a <= b).f32(),
        (a == b).f32(),
        (a != b).f32(),
        half_bits(a.bits() & 0xffff),
        exp(a),
        exp2(a),
        log(a),
        rsqrt(a),
        sin(b),
        cos(b),
        tanh(a),
    ];
    for j in 0..values.len() {
        y.set(i * RESULTS + j as u32, values[j]);
    }
    m.set(i * RESULTS, a.i32());
    m.set(i * RESULTS + 1, n.at(i));
    w.set(i * RESULTS, a.u32() + u.at(i));
    w.set(i * RESULTS + 1, a.bits());
}

#[kernel]
fn wholes(_k: &Wholes, x: In<F32>, n: In<I32>, u: In<U32>, y: Out<F32>, m: Out<I32>, w: Out<U32>) {
    let i = thread();
    let (a, b) = (n.at(i), n.at((i * 7 + 3) % THREADS));
    let (c, d) = (u.at(i), u.at((i * 7 + 3) % THREADS));
    let by = d & 31;
    // The quotient of the least number and -1 does not exist.
    let divisor = select(b > 0, b, 3);
    let signed = [
        a + b,
        a - b,
        a * b,
        a / divisor,
        a % divisor,
        a & b,
        a | b,
        a ^ b,
        a << by.i32(),
        a >> by.i32(),
        min::<i32>(a, b),
        max::<i32>(a, b),
        -a,
        !a,
        abs::<i32>(a),
        select(a < b, a, b),
        c.i32(),
        c.as_signed(),
    ];
    for j in 0..signed.len() {
        m.set(i * RESULTS + j as u32, signed[j]);
    }
    let whole = d | 1;
    let unsigned = [
        c + d,
        c - d,
        c * d,
        c / whole,
        c % whole,
        c & d,
        c | d,
        c ^ d,
        c << by,
        c >> by,
        min::<u32>(c, d),
        max::<u32>(c, d),
        !c,
        popcount(c),
        leading_zeros(c),
        a.u32(),
        a.bits(),
        (a < b).u32(),
        (a <= b).u32(),
        (a == b).u32(),
        (a != b).u32(),
        (c < d).u32(),
        (c <= d).u32(),
        ((a < b) & (c < d)).u32(),
        ((a < b) | (c < d)).u32(),
        ((a < b) ^ (c < d)).u32(),
        (!(a < b)).u32(),
    ];
    for j in 0..unsigned.len() {
        w.set(i * RESULTS + j as u32, unsigned[j]);
    }
    y.set(i * RESULTS, a.f32());
    y.set(i * RESULTS + 1, c.f32());
    y.set(i * RESULTS + 2, c.as_float());
    y.set(i * RESULTS + 3, x.at(i));
}

#[kernel]
fn lanes(_k: &Lanes, x: In<F32>, n: In<I32>, u: In<U32>, y: Out<F32>, m: Out<I32>, w: Out<U32>) {
    let i = thread();
    let a = x.at(i);
    let b = n.at(i);
    let c = u.at(i);
    // Sums of lanes must not depend on infinities.
    let tame = select(abs::<f32>(a) < 1e6, a, 0.5);
    let to = (lane() * 3 + 1) % 32;
    let floats = [
        simd_sum(tame),
        simd_max(tame),
        simd_min(tame),
        simd_prefix_sum(tame),
        shuffle(a, to),
        shuffle_xor(a, 9),
    ];
    for j in 0..floats.len() {
        y.set(i * RESULTS + j as u32, floats[j]);
    }
    let signed = [
        simd_sum(b),
        simd_max(b),
        simd_min(b),
        simd_prefix_sum(b),
        shuffle(b, to),
        shuffle_xor(b, 17),
    ];
    for j in 0..signed.len() {
        m.set(i * RESULTS + j as u32, signed[j]);
    }
    let unsigned = [
        simd_sum(c),
        simd_max(c),
        simd_min(c),
        simd_prefix_sum(c),
        shuffle(c, to),
        shuffle_xor(c, 2),
        ballot(a < 1.0),
        lane(),
        simdgroup(),
        thread(),
        group(0),
        group(1),
        group(2),
    ];
    for j in 0..unsigned.len() {
        w.set(i * RESULTS + j as u32, unsigned[j]);
    }
}

/// Loads and stores of a type, of every width, through shared memory too.
macro_rules! widths {
    ($spec:ident, $function:ident, $elem:ident, $change:expr) => {
        #[derive(Name)]
        struct $spec(Elem);

        impl Spec for $spec {
            type Args = None_;
            fn threads(&self) -> u32 {
                THREADS
            }
            fn grid(&self, _: &None_) -> [u32; 3] {
                [1, 1, 1]
            }
            fn check(&self, _: &None_) -> Result<(), String> {
                Ok(())
            }
        }

        #[kernel]
        fn $function(k: &$spec, #[of(k.0)] x: In<$elem>, #[of(k.0)] y: Out<$elem>) {
            let stage = shared_of::<$elem>("stage", k.0, 8 * THREADS);
            let i = thread();
            y.set(i, ($change)(x.at(i)));
            let [a, b] = x.load(2 * i);
            y.store(THREADS + 2 * i, [b, ($change)(a)]);
            let [a, b, c, d] = x.load(4 * i);
            y.store(4 * THREADS + 4 * i, [($change)(d), c, ($change)(b), a]);
            stage.store(4 * i, [a, ($change)(b), c, d]);
            barrier();
            let [a, b] = stage.load(2 * (i ^ 1));
            y.store(8 * THREADS + 2 * i, [a, b]);
            if k.0.bytes() < 4 {
                barrier();
                let eight = x.load::<8>(8 * i);
                stage.store(8 * i, eight.map(|v| ($change)(v)));
                barrier();
                y.store(16 * THREADS + 8 * i, stage.load::<8>(8 * (i ^ 3)));
            }
        }
    };
}
widths!(FloatWidths, float_widths, AnyFloat, |v: Val<f32>| v * 1.1 + 0.001);
widths!(WordWidths, word_widths, AnyWord, |v: Val<u32>| v * 3 + 1);
widths!(IntWidths, int_widths, I32, |v: Val<i32>| v * -3 + 1);
widths!(ByteWidths, byte_widths, I8, |v: Val<i32>| v * -3 + 1);

#[test]
fn every_load_and_store_agrees() {
    let mut programs: Vec<_> =
        [Elem::F32, Elem::F16, Elem::BF16].map(|elem| FloatWidths(elem).record()).into();
    programs.extend([Elem::U32, Elem::U16, Elem::U8].map(|elem| WordWidths(elem).record()));
    programs.extend([IntWidths(Elem::I32).record(), ByteWidths(Elem::I8).record()]);
    let programs: Vec<_> = programs.into_iter().map(|program| program.unwrap()).collect();
    for language in [Language::Metal, Language::Cuda] {
        let library = ready(Library::build(language, &programs, Sanitizer::Address));
        for program in &programs {
            let elem = program.buffers[0].elem;
            // Of floats, the ordinary ones: bits of no number may change on the way.
            let input: Vec<u8> = match elem {
                Elem::F32 => {
                    (0..512).flat_map(|i| ((i as f32 - 99.0) * 1.37).to_ne_bytes()).collect()
                }
                Elem::F16 => (0..512)
                    .flat_map(|i| half::f16::from_f32((i as f32 - 99.0) * 1.37).to_ne_bytes())
                    .collect(),
                Elem::BF16 => (0..512)
                    .flat_map(|i| half::bf16::from_f32((i as f32 - 99.0) * 1.37).to_ne_bytes())
                    .collect(),
                _ => (0..512 * elem.bytes()).map(|i| (i * 89 + i / 256) as u8).collect(),
            };
            let (x, y) = (Memory::of(&input), Memory::zeroed(24 * THREADS as usize * elem.bytes()));
            let kernel = Kernel::new(program.clone());
            let ran =
                kernel.launch([1, 1, 1], &[], &[Binding::all(&x), Binding::all(&y)], Checks::All);
            ran.unwrap_or_else(|fault| panic!("{fault}"));
            let (mut input, mut output) = (input, vec![0; y.len()]);
            let launched =
                library.launch(&program.name, [1, 1, 1], &[], &mut [&mut input, &mut output]);
            launched.unwrap_or_else(|error| panic!("{error}"));
            let expected = y.to_vec();
            let wrong = (0..expected.len()).find(|&at| expected[at] != output[at]);
            assert_eq!(wrong, None, "{language} {}: byte", program.name);
        }
    }
}

/// Copies of 4, 8 and 16 bytes, and zeros.
#[test]
fn staged_copies_agree() {
    let program = crate::constructs::Staged.record().unwrap();
    let bytes = |len: usize| (0..len).map(|i| (i * 37 % 63) as u8).collect::<Vec<u8>>();
    let inputs = [bytes(4 * 32), bytes(512), bytes(2 * 128)];
    let y = Memory::zeroed(4 * 64);
    let memories = inputs.each_ref().map(|input| Memory::of(input));
    let bindings: Vec<_> = memories.iter().chain([&y]).map(Binding::all).collect();
    let kernel = Kernel::new(program.clone());
    kernel.launch([1, 1, 1], &[], &bindings, Checks::All).unwrap_or_else(|fault| panic!("{fault}"));
    let expected = y.to_vec();
    assert!(expected[4 * 51..4 * 52] != [0; 4] && expected[4 * 52..] == [0; 4 * 12]);
    for language in [Language::Metal, Language::Cuda] {
        let programs = std::slice::from_ref(&program);
        let library = ready(Library::build(language, programs, Sanitizer::Address));
        let [mut x, mut b, mut h] = inputs.clone();
        let mut output = vec![0x55; 4 * 64];
        let mut buffers = [&mut x[..], &mut b, &mut h, &mut output];
        let launched = library.launch(&program.name, [1, 1, 1], &[], &mut buffers);
        launched.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(output, expected, "{language}");
    }
}

/// Numbers at the ends of their types, and some between.
fn inputs() -> [Vec<u32>; 3] {
    let floats = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        1.5,
        2.5,
        -2.5,
        0.1,
        3.7,
        -3.7,
        100.25,
        -1e-3,
        1e-30,
        1e30,
        -1e30,
        3e9,
        -3e9,
        4_294_967_040.0,
        4.3e9,
        2_147_483_648.0,
        -2_147_483_648.0,
        16_777_217.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MAX,
        f32::MIN_POSITIVE,
        88.5,
        -88.5,
        0.99999994,
    ];
    let words = [
        0,
        1,
        2,
        3,
        7,
        31,
        32,
        255,
        256,
        65535,
        65536,
        0x7fff_fffe,
        0x7fff_ffff,
        0x8000_0000,
        0x8000_0001,
        0xffff_0000,
        0xffff_fffe,
        0xffff_ffff,
        0x1234_5678,
        0xdead_beef,
    ];
    let at = |i: u32, step: u32| -> u32 {
        let word: u32 = words[(i * step) as usize % words.len()];
        word.wrapping_add(i / 20)
    };
    [
        (0..THREADS).map(|i| floats[i as usize % 32].to_bits() ^ (i / 32)).collect(),
        (0..THREADS).map(|i| at(i, 3)).collect(),
        (0..THREADS).map(|i| at(i, 7)).collect(),
    ]
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_ne_bytes()).collect()
}

/// What the three outputs hold after running in the simulator.
fn simulated(program: &Program) -> [Vec<u8>; 3] {
    let inputs = inputs().map(|words| Memory::of(&bytes(&words)));
    let outputs = [(); 3].map(|()| Memory::zeroed(4 * (THREADS * RESULTS) as usize));
    let bindings: Vec<_> = inputs.iter().chain(&outputs).map(Binding::all).collect();
    let kernel = Kernel::new(program.clone());
    kernel.launch([1, 1, 1], &[], &bindings, Checks::All).unwrap_or_else(|fault| panic!("{fault}"));
    outputs.map(|output| output.to_vec())
}

fn printed(library: &Library, program: &Program) -> [Vec<u8>; 3] {
    let mut inputs = inputs().map(|words| bytes(&words));
    let mut outputs = [(); 3].map(|()| vec![0; 4 * (THREADS * RESULTS) as usize]);
    let mut slices: Vec<_> = inputs.iter_mut().chain(&mut outputs).map(Vec::as_mut_slice).collect();
    library.launch_ordered(Order::Forward, &program.name, [1, 1, 1], &[], &mut slices).unwrap();
    outputs
}

#[test]
fn every_operation_agrees() {
    let programs = [Floats.record().unwrap(), Wholes.record().unwrap(), Lanes.record().unwrap()];
    let languages = [Language::Metal, Language::Cuda];
    let libraries =
        languages.map(|language| ready(Library::build(language, &programs, Sanitizer::None)));
    for program in &programs {
        let expected = simulated(program);
        for (language, library) in languages.iter().zip(&libraries) {
            let found = printed(library, program);
            for (output, (found, expected)) in found.iter().zip(&expected).enumerate() {
                let words = |bytes: &[u8]| {
                    bytes.as_chunks().0.iter().map(|&b| u32::from_ne_bytes(b)).collect::<Vec<_>>()
                };
                for (at, (found, expected)) in
                    words(found).into_iter().zip(words(expected)).enumerate()
                {
                    let (x, y) = (f32::from_bits(found), f32::from_bits(expected));
                    let same = found == expected || (output == 0 && x.is_nan() && y.is_nan());
                    let (thread, result) = (at as u32 / RESULTS, at as u32 % RESULTS);
                    assert!(
                        same,
                        "{language} {}: output {output}, thread {thread}, result {result}: {found:#x} ({x}), not {expected:#x} ({y})",
                        program.name
                    );
                }
            }
        }
    }
}
