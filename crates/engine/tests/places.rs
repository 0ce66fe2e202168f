//! Several backends for one model: the first that has it and does it, and room for it.

mod common;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

use common::{ids, options, parts, prompt, request};
use tessera_engine::{
    BackendChoice, BackendFactory, ContextReason, LoadError, LoadOptions, Model, PassedOver,
};
use tessera_graph::{
    Backend, BackendError, DeviceMemory, Executable, Footprint, Graph, Limits, Progress, Weights,
    oracle::Oracle,
};

/// The oracle on a device that has so much memory free, and that compiles nothing if it is told so.
#[derive(Clone)]
struct Device {
    free: usize,
    compiles: bool,
    /// How often it was asked to.
    asked: Arc<AtomicUsize>,
}

impl Backend for Device {
    fn name(&self) -> &'static str {
        "device"
    }

    fn memory(&self) -> Result<Option<DeviceMemory>, BackendError> {
        Ok(Some(DeviceMemory { free: self.free, total: 2 * self.free, unified: false }))
    }

    fn footprint(
        &self,
        graph: &Graph,
        weights: &Weights,
        limits: &Limits,
    ) -> Result<Footprint, BackendError> {
        Oracle.footprint(graph, weights, limits)
    }

    fn compile(
        &self,
        graph: &Graph,
        weights: Weights,
        limits: &Limits,
        progress: &mut Progress<'_>,
    ) -> Result<Box<dyn Executable>, BackendError> {
        self.asked.fetch_add(1, SeqCst);
        match self.compiles {
            true => Oracle.compile(graph, weights, limits, progress),
            false => Err(BackendError::Unsupported { backend: "device", what: "that".into() }),
        }
    }
}

fn device(free: usize, compiles: bool) -> Device {
    Device { free, compiles, asked: Arc::default() }
}

fn factory(device: &Device) -> BackendFactory {
    let device = device.clone();
    Arc::new(move || Ok(Box::new(device.clone())))
}

fn absent() -> BackendFactory {
    Arc::new(|| Err(BackendError::Device("no such device: no driver".into())))
}

fn oracle() -> BackendFactory {
    Arc::new(|| Ok(Box::new(Oracle)))
}

fn load(all: Vec<(&'static str, BackendFactory)>) -> Result<Model, LoadError> {
    let backend = BackendChoice::First(all);
    Model::from_parts(parts(false), LoadOptions { backend, memory: None, ..options() }).wait()
}

fn answer(model: &Model) -> Vec<u32> {
    ids(&model.generate(request(prompt(50, 1), 20, 1)).collect().unwrap())
}

#[test]
fn what_cannot_run_the_model_is_passed_over_and_told() {
    let (small, picky) = (device(100_000, true), device(1 << 30, false));
    let model = load(vec![
        ("absent", absent()),
        ("small", factory(&small)),
        ("picky", factory(&picky)),
        ("oracle", oracle()),
    ])
    .unwrap();
    let info = model.info();
    assert_eq!(info.backend, "oracle");
    let why = |name: &str| {
        let found = info.passed_over.iter().find(|PassedOver { backend, .. }| *backend == name);
        found.map(|passed| passed.why.clone()).unwrap_or_default()
    };
    assert_eq!(info.passed_over.len(), 3);
    assert!(why("absent").contains("no driver"));
    assert!(why("small").contains("87.9 KiB"), "90 % of what is free: {}", why("small"));
    assert!(why("picky").contains("that"));
    assert_eq!((small.asked.load(SeqCst), picky.asked.load(SeqCst)), (0, 1));
    // its answers are those of the backend alone
    let plain = Model::from_parts(parts(false), options()).wait().unwrap();
    assert!(plain.info().passed_over.is_empty());
    assert_eq!(answer(&model), answer(&plain));
}

#[test]
fn the_first_that_will_do_is_taken() {
    let model = load(vec![("device", factory(&device(1 << 30, true))), ("oracle", oracle())]);
    let model = model.unwrap();
    assert_eq!((model.info().backend, model.info().passed_over.len()), ("device", 0));
}

#[test]
fn the_last_failure_is_the_answer() {
    let refused = load(vec![("absent", absent()), ("picky", factory(&device(1 << 30, false)))]);
    assert!(matches!(refused, Err(LoadError::Backend(BackendError::Unsupported { .. }))));
    assert!(matches!(load(Vec::new()), Err(LoadError::Option { option: "backend", .. })));
    // what would fail anywhere is not tried again
    let other = device(1 << 30, true);
    let backend = BackendChoice::First(vec![("oracle", oracle()), ("device", factory(&other))]);
    let asked = LoadOptions { backend, context: Some(1 << 20), ..options() };
    let refused = Model::from_parts(parts(false), asked).wait();
    assert!(matches!(refused, Err(LoadError::ContextTrained { .. })));
    assert_eq!(other.asked.load(SeqCst), 0);
}

/// The context is as long as a device's memory allows, not the machine's.
#[test]
fn a_device_sets_the_budget_and_the_context() {
    let load = |free, memory| {
        let device = device(free, true);
        let backend = BackendChoice::Custom(factory(&device));
        Model::from_parts(parts(false), LoadOptions { backend, memory, ..options() }).wait()
    };
    let whole = load(1 << 30, None).unwrap();
    assert_eq!(whole.info().budget, (0.9 * f64::from(1 << 30)) as usize);
    assert_eq!(whole.info().context.reason, ContextReason::Trained);
    let (held, full) = (whole.status().memory, whole.info().context_bytes);
    // room for the model and seven tenths of that context
    let room = held.weights + held.arena + full * 7 / 10;
    let short = load(room * 10 / 9, None).unwrap();
    let info = short.info();
    assert_eq!(info.context.reason, ContextReason::Memory { trained: 1024 });
    assert!((512..1024).contains(&info.context.tokens), "{}", info.context);
    assert!(info.budget <= room && info.context_bytes <= full * 7 / 10);
    // what is asked for is no more than there is
    assert_eq!(load(1 << 30, Some(1 << 29)).unwrap().info().budget, 1 << 29);
    assert_eq!(load(1 << 29, Some(1 << 30)).unwrap().info().budget, 1 << 29);
    assert!(matches!(load(held.weights, None), Err(LoadError::TooLarge { .. })));
}
