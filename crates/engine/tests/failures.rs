//! A backend that fails or panics harms as few as possible, and never the process.

mod common;

use common::{assert_empty, custom, ids, load, options, parts, prompt, request};
use tessera_engine::{GenerateError, Lifecycle, LoadError, LoadOptions, Model};
use tessera_graph::{
    Backend, BackendError, Batch, Executable, Footprint, Graph, Limits, MemoryReport, Progress,
    Sampled, Weights, oracle::Oracle,
};

/// The oracle, except that it cannot stand some tokens.
struct Picky;

struct PickyModel(Box<dyn Executable>);

/// A step with this token fails.
const POISON: u32 = 7;
/// A step with this token panics.
const BOMB: u32 = 8;
/// A step with this token draws a token that does not exist.
const GHOST: u32 = 9;

impl Backend for Picky {
    fn name(&self) -> &'static str {
        "picky"
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
        Ok(Box::new(PickyModel(Oracle.compile(graph, weights, limits, progress)?)))
    }
}

impl Executable for PickyModel {
    fn grow(&mut self, group: usize, pages: usize) -> Result<(), BackendError> {
        self.0.grow(group, pages)
    }

    fn block_bytes(&self, group: usize) -> usize {
        self.0.block_bytes(group)
    }

    fn copy(&mut self, group: usize, from: u32, to: u32) -> Result<(), BackendError> {
        self.0.copy(group, from, to)
    }

    fn export(&self, group: usize, block: u32, out: &mut Vec<u8>) -> Result<(), BackendError> {
        self.0.export(group, block, out)
    }

    fn import(&mut self, group: usize, block: u32, bytes: &[u8]) -> Result<(), BackendError> {
        self.0.import(group, block, bytes)
    }

    fn step(&mut self, batch: &Batch, sampled: &mut Vec<Sampled>) -> Result<(), BackendError> {
        assert!(!batch.tokens.contains(&BOMB), "the bomb went off");
        if batch.tokens.contains(&POISON) {
            return Err(BackendError::Memory { bytes: 1, what: "poison" });
        }
        self.0.step(batch, sampled)?;
        if batch.tokens.contains(&GHOST) {
            sampled.iter_mut().for_each(|sampled| sampled.token = u32::MAX);
        }
        Ok(())
    }

    fn read_logits(&self, output: usize, logits: &mut [f32]) {
        self.0.read_logits(output, logits);
    }

    fn memory(&self) -> MemoryReport {
        self.0.memory()
    }
}

fn picky() -> LoadOptions {
    LoadOptions { backend: custom(|| Box::new(Picky)), ..options() }
}

/// A prompt without any of the tokens above, whose continuation has none either.
fn clean(seed: u32) -> tessera_engine::Request {
    let prompt = prompt(30, seed).into_iter().map(|t| t.max(20)).collect();
    let mut request = request(prompt, 25, 3);
    request.sampling.bias = (0..10).map(|token| (token, -500.0)).collect();
    request
}

#[test]
fn a_poisoned_sequence_fails_alone() {
    let model = load(picky());
    let expected: Vec<_> =
        (0..3).map(|i| ids(&model.generate(clean(i)).collect().unwrap())).collect();
    let running: Vec<_> = (0..3).map(|i| model.generate(clean(i))).collect();
    let poisoned = model.generate(request(vec![50, POISON, 51], 5, 1));
    let error = poisoned.collect().unwrap_err();
    assert!(matches!(error, GenerateError::Backend(BackendError::Memory { .. })), "{error}");
    for (generation, expected) in running.into_iter().zip(expected) {
        assert_eq!(ids(&generation.collect().unwrap()), expected);
    }
    assert_empty(&model);
}

#[test]
fn a_token_that_does_not_exist_is_an_error_not_an_index() {
    let model = load(picky());
    let error = model.generate(request(vec![50, GHOST], 5, 1)).collect().unwrap_err();
    assert!(matches!(error, GenerateError::Backend(BackendError::Batch(_))), "{error}");
    assert!(model.generate(clean(1)).collect().is_ok());
    assert_empty(&model);
}

#[test]
fn a_panic_fails_the_model_not_the_process() {
    let model = load(picky());
    let bystander = model.generate(clean(1));
    let error = model.generate(request(vec![50, BOMB], 5, 1)).collect().unwrap_err();
    assert!(
        matches!(&error, GenerateError::Failed { message } if message.contains("bomb")),
        "{error}"
    );
    // It may have finished before; if not, it is told why it did not.
    assert!(matches!(bystander.collect(), Ok(_) | Err(GenerateError::Failed { .. })));
    assert!(matches!(model.generate(clean(1)).collect(), Err(GenerateError::Failed { .. })));
    assert!(matches!(model.state(), Lifecycle::Failed { .. }));
    model.unload().wait().unwrap();
    assert_eq!(model.state(), Lifecycle::Unloaded);
    assert!(matches!(model.generate(clean(1)).collect(), Err(GenerateError::Unloaded)));
}

#[test]
fn a_backend_that_panics_while_loading_is_an_error() {
    let backend = custom(|| panic!("no device"));
    let error = Model::from_parts(parts(false), LoadOptions { backend, ..options() }).wait();
    match error {
        Err(LoadError::Panicked { message, .. }) => assert!(message.contains("no device")),
        other => panic!("{other:?}"),
    }
}
