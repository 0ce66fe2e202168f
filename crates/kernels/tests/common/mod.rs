//! Kernels in the simulator, with everything checked.

#![allow(dead_code)] // each test uses a part

pub mod paged;
pub mod product;
pub mod recurrent;
pub mod steps;
pub mod text;

use std::{
    env,
    path::PathBuf,
    sync::{Mutex, OnceLock},
};

use tessera_tile::{
    Arguments, Record,
    sim::{Binding, Checks, Counts, Fault, Kernel, Memory, trace::Trace},
};

/// A buffer of f32.
pub fn floats(values: &[f32]) -> Memory {
    Memory::of(&values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
}

/// A buffer of u32.
pub fn words(values: &[u32]) -> Memory {
    Memory::of(&values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
}

/// A result of `len` f32, undefined at first.
pub fn result(len: usize) -> Memory {
    Memory::undefined(len * 4)
}

/// What a buffer of f32 holds.
pub fn read(memory: &Memory) -> Vec<f32> {
    memory.to_vec().as_chunks::<4>().0.iter().map(|&x| f32::from_le_bytes(x)).collect()
}

/// What a buffer of u32 holds.
pub fn read_words(memory: &Memory) -> Vec<u32> {
    memory.to_vec().as_chunks::<4>().0.iter().map(|&x| u32::from_le_bytes(x)).collect()
}

/// Runs a kernel.
pub fn try_run<S: Record>(spec: &S, args: &S::Args, buffers: &[&Memory]) -> Result<Counts, Fault> {
    let program = spec.record().unwrap_or_else(|error| panic!("{error}"));
    spec.check(args).unwrap_or_else(|error| panic!("{error}"));
    let bindings: Vec<_> = buffers.iter().map(|memory| Binding::all(memory)).collect();
    let (kernel, grid, args) = (Kernel::new(program), spec.grid(args), args.words());
    let repeat = text::Repeat::before(kernel.program(), grid, buffers);
    let counts = match trace() {
        Some(trace) => {
            let mut trace = trace.lock().expect("no test fails while it writes");
            trace.launch(&kernel, grid, &args, &bindings, Checks::All).expect("a trace is written")
        }
        None => kernel.launch(grid, &args, &bindings, Checks::All),
    }?;
    if let Some(repeat) = repeat {
        repeat.compare(kernel.program(), grid, &args, buffers);
    }
    Ok(counts)
}

/// Where launches are written down, to be repeated on a real device: a file of this test in the folder that
/// `TESSERA_LAUNCHES` names. See the example `gpu` of tessera-gpu.
fn trace() -> Option<&'static Mutex<Trace>> {
    static TRACE: OnceLock<Option<Mutex<Trace>>> = OnceLock::new();
    let open = || {
        let folder = PathBuf::from(env::var_os("TESSERA_LAUNCHES")?);
        let test = env::current_exe().expect("a test is a program");
        let name = test.file_stem().expect("with a name").to_owned();
        let trace = Trace::create(&folder.join(name).with_extension("launches"), 3);
        Some(Mutex::new(trace.expect("the folder exists")))
    };
    TRACE.get_or_init(open).as_ref()
}

/// Runs a kernel that makes no mistake.
pub fn run<S: Record>(spec: &S, args: &S::Args, buffers: &[&Memory]) -> Counts {
    try_run(spec, args, buffers).unwrap_or_else(|fault| panic!("{fault}"))
}

/// Numbers in -1..1, the same for the same seed.
pub fn random(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

/// Numbers in `offset - scale..offset + scale`.
pub fn scaled(seed: u64, len: usize, scale: f32, offset: f32) -> Vec<f32> {
    random(seed, len).iter().map(|x| x * scale + offset).collect()
}

/// Asserts that two results differ by no more than `limit` times the largest of them.
pub fn close(what: &str, got: &[f32], wanted: &[f32], limit: f32) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    let scale = wanted.iter().fold(1e-6f32, |max, x| max.max(x.abs()));
    for (i, (got, wanted)) in got.iter().zip(wanted).enumerate() {
        let error = (got - wanted).abs();
        assert!(
            error <= limit * scale,
            "{what}: element {i} is {got}, not {wanted} (scale {scale})"
        );
    }
}
