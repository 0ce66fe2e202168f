//! The printed text of the kernels that tests run, executed on the CPU beside the simulator.
//!
//! `TESSERA_EMULATE=metal` (or `cuda`) asks for it; `cargo xtask emulate` does. The first launch of each kernel in a test is
//! repeated: what it takes is a compilation. With `TESSERA_SANITIZE=address` (or `thread`) it is the first small one, and
//! runs under that sanitizer; of the hundreds of specialisations of some tests it is the first few and a sample.

use std::{
    collections::HashSet,
    env,
    sync::{LazyLock, Mutex},
};

use tessera_emulate::{Language, Library, Sanitizer};
use tessera_tile::{
    Program,
    ir::{Access, Elem, TileInfo, TileRole},
    sim::Memory,
};

/// What floats may differ by, as a part of the largest: functions like `exp` are another library's.
const NEAR: f32 = 2e-5;

/// The same where CUDA rounds operands of matrix tiles to tf32, whose fractions have ten bits.
const TF32: f32 = 5e-3;

static LANGUAGE: LazyLock<Option<Language>> = LazyLock::new(|| {
    let asked = env::var("TESSERA_EMULATE").ok()?;
    match asked.as_str() {
        "metal" => Some(Language::Metal),
        "cuda" => Some(Language::Cuda),
        _ => panic!("TESSERA_EMULATE is {asked:?}; metal and cuda are possible"),
    }
});

static SANITIZER: LazyLock<Sanitizer> =
    LazyLock::new(|| match env::var("TESSERA_SANITIZE").as_deref() {
        Err(_) => Sanitizer::None,
        Ok("address") => Sanitizer::Address,
        Ok("thread") => Sanitizer::Thread,
        Ok(other) => panic!("TESSERA_SANITIZE is {other:?}; address and thread are possible"),
    });

/// Threads of all threadgroups of a launch that a sanitizer watches: each is a fiber, and slow.
const MOST_WATCHED: u64 = 1 << 14;

/// Kernels of a test that a sanitizer sees in any case; of others one in so many.
const FIRST: usize = 16;
const SAMPLED: u64 = 8;

/// Whether a kernel is in the sample, always the same.
fn is_sampled(name: &str) -> bool {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32).is_multiple_of(SAMPLED)
}

/// Whether a launch is repeated at all.
fn suits(program: &Program, grid: [u32; 3]) -> bool {
    let threads = grid.iter().map(|&n| u64::from(n)).product::<u64>() * u64::from(program.threads);
    match *SANITIZER {
        Sanitizer::None => true,
        Sanitizer::Address => threads <= MOST_WATCHED,
        Sanitizer::Thread => threads <= MOST_WATCHED && program.threads <= Sanitizer::MAX_RACING,
    }
}

/// A launch that is to be repeated.
pub struct Repeat {
    language: Language,
    buffers: Vec<Vec<u8>>,
}

impl Repeat {
    /// Notes the buffers before a launch, if it is asked for and the kernel is new.
    pub fn before(program: &Program, grid: [u32; 3], buffers: &[&Memory]) -> Option<Self> {
        static SEEN: LazyLock<Mutex<HashSet<String>>> = LazyLock::new(Mutex::default);
        let language = (*LANGUAGE)?;
        if !suits(program, grid) {
            return None;
        }
        let mut seen = SEEN.lock().expect("no test fails here");
        let new = seen.insert(program.name.clone());
        if *SANITIZER != Sanitizer::None && seen.len() > FIRST && !is_sampled(&program.name) {
            return None;
        }
        let buffers = || buffers.iter().map(|memory| memory.to_vec()).collect();
        new.then(|| Self { language, buffers: buffers() })
    }

    /// Runs the text and compares with what the simulator made.
    pub fn compare(mut self, program: &Program, grid: [u32; 3], args: &[u32], made: &[&Memory]) {
        let name = &program.name;
        let library = Library::build(self.language, std::slice::from_ref(program), *SANITIZER)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut buffers: Vec<&mut [u8]> = self.buffers.iter_mut().map(Vec::as_mut_slice).collect();
        let launched = library.launch(name, grid, args, &mut buffers);
        launched.unwrap_or_else(|error| panic!("{name}: {error}"));
        let rounds = |tile: &TileInfo| tile.role != TileRole::Sum && tile.elem == Elem::F32;
        let near = match self.language {
            Language::Cuda if program.tiles.iter().any(rounds) => TF32,
            _ => NEAR,
        };
        for ((buffer, found), made) in program.buffers.iter().zip(&self.buffers).zip(made) {
            if buffer.access != Access::Read {
                let what = format!("{name}, {} as {}", buffer.name, self.language);
                same(&what, near, buffer.elem, found, &made.to_vec(), &made.defined());
            }
        }
    }
}

fn same(what: &str, near: f32, elem: Elem, found: &[u8], wanted: &[u8], defined: &[bool]) {
    let size = elem.bytes();
    let written = |i: &usize| defined[i * size..][..size].iter().all(|&written| written);
    let places: Vec<usize> = (0..wanted.len() / size).filter(written).collect();
    let bits = |bytes: &[u8], i: usize| bytes[i * size..][..size].to_vec();
    if elem != Elem::F32 {
        for i in places {
            assert_eq!(bits(found, i), bits(wanted, i), "{what}[{i}]");
        }
        return;
    }
    let float =
        |bytes: &[u8], i: usize| f32::from_le_bytes(bits(bytes, i).try_into().expect("four bytes"));
    let finite = places.iter().map(|&i| float(wanted, i).abs()).filter(|x| x.is_finite());
    let largest = finite.fold(0.0, f32::max);
    for i in places {
        let (found, wanted) = (float(found, i), float(wanted, i));
        let close = (found - wanted).abs() <= near * largest;
        assert!(
            found == wanted || close || found.is_nan() && wanted.is_nan(),
            "{what}[{i}] is {found}, not {wanted} (largest {largest})"
        );
    }
}
