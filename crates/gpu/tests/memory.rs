//! Memory is asked for before it is allocated.

mod common;

use std::ops::ControlFlow;

use tessera_gpu::{Gpu, Tuning, device::DeviceError, sim::Sim};
use tessera_graph::{
    Backend, BackendError, Executable, KvType, Limits, PAGE, StorageKind, unwatched,
};
use tessera_models::Bound;
use tessera_tile::{ir::Elem, sim::Checks};

const LIMITS: Limits = Limits { tokens: 64, outputs: 2, runs: 2, context: 200, kv: KvType::F16 };

/// A simulated device of so many bytes.
fn sim(bytes: usize) -> Gpu<impl Fn() -> Result<Sim, DeviceError>> {
    let open = move || Ok(Sim::new(Checks::Access).with_memory(bytes));
    Gpu::new("sim", Tuning::new(Elem::F32), open)
}

/// What a model takes: weights, what a step needs, and pages and slots of one sequence of 200 tokens.
fn needs(model: &Bound) -> [usize; 3] {
    let found = sim(0).footprint(&model.graph, &model.weights, &LIMITS).unwrap();
    let blocks = |kind| match kind {
        StorageKind::Pages { window: None } => 200usize.div_ceil(PAGE),
        StorageKind::Pages { window: Some(window) } => (window + 64).min(200).div_ceil(PAGE),
        StorageKind::Slots => 1,
    };
    let groups = model.graph.groups();
    let states = groups.iter().zip(&found.blocks).map(|(group, bytes)| blocks(group.kind) * bytes);
    [found.weights, found.arena, states.sum()]
}

fn compile(model: &Bound, bytes: usize) -> (Result<Box<dyn Executable>, BackendError>, usize) {
    let mut told = 0;
    let mut progress = |_: usize, _: usize| {
        told += 1;
        ControlFlow::Continue(())
    };
    let weights = model.weights.clone();
    let compiled = sim(bytes).compile(&model.graph, weights, &LIMITS, &mut progress);
    (compiled, told)
}

#[test]
fn what_does_not_fit_is_refused_before_anything_is_there() {
    for case in ["llama/default", "gemma3/default", "falcon_h1/default"] {
        let model = common::open(case);
        let [weights, arena, states] = needs(&model);
        let total = weights + arena + states;
        assert!(states > 0, "{case}");
        let (refused, told) = compile(&model, total - 1);
        match refused.map(drop) {
            Err(BackendError::DeviceMemory {
                device,
                weights: w,
                arena: a,
                states: s,
                context,
                free,
            }) => {
                assert_eq!((device, context, free), ("sim", 200, total - 1), "{case}");
                assert_eq!([w, a, s], [weights, arena, states], "{case}");
            }
            other => panic!("{case}: {other:?}"),
        }
        assert_eq!(told, 0, "{case}: no weight was laid out");
        // some buffers are a little larger than what is in them
        let (compiled, told) = compile(&model, total + 4096);
        assert!(compiled.is_ok() && told > 0, "{case}: {:?}", compiled.err());
    }
}

#[test]
fn an_error_tells_the_numbers_and_what_to_do() {
    let model = common::open("llama/default");
    let error = compile(&model, 1000).0.err().expect("refused").to_string();
    for part in ["sim", "MiB", "weights", "200 tokens", "shorter context", "processor"] {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_backend_tells_its_memory() {
    let memory = sim(12_345).memory().unwrap().expect("it ends");
    assert_eq!((memory.free, memory.total, memory.unified), (12_345, 12_345, false));
    assert_eq!(tessera_gpu::sim(Checks::Access).memory().unwrap(), None);
    // the device that was looked at is the one that runs, once
    let opened = std::sync::atomic::AtomicUsize::new(0);
    let open = || {
        opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(Sim::new(Checks::Access).with_memory(1 << 30))
    };
    let gpu = Gpu::new("sim", Tuning::new(Elem::F32), open);
    let model = common::open("llama/default");
    for wanted in [1, 1] {
        gpu.memory().unwrap();
        assert_eq!(opened.load(std::sync::atomic::Ordering::Relaxed), wanted);
    }
    for wanted in [1, 2] {
        gpu.model(&model.graph, &model.weights, &LIMITS, &mut unwatched).unwrap();
        assert_eq!(opened.load(std::sync::atomic::Ordering::Relaxed), wanted);
    }
}

/// Pages that are there keep what is in them when memory runs out as more are made.
#[test]
fn running_out_of_pages_loses_nothing() {
    let model = common::open("llama/default");
    let [weights, arena, states] = needs(&model);
    // nothing comes back in the simulated device, so that four times the pages are too many
    let mut exe = compile(&model, weights + arena + 2 * states + 4096).0.expect("fits");
    let pages = 200usize.div_ceil(PAGE);
    exe.grow(0, pages).expect("fits");
    let bytes: Vec<u8> = (0..exe.block_bytes(0)).map(|i| (i % 251) as u8).collect();
    for page in 0..pages as u32 {
        exe.import(0, page, &bytes).expect("there");
    }
    let refused = exe.grow(0, 4 * pages).expect_err("too many");
    assert!(matches!(refused, BackendError::Memory { .. }), "{refused}");
    for page in 0..pages as u32 {
        let mut out = Vec::new();
        exe.export(0, page, &mut out).expect("there");
        assert!(out == bytes, "page {page}");
    }
    assert!(exe.import(0, pages as u32, &bytes).is_err(), "no page more than before");
}
