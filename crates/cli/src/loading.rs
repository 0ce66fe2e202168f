//! From a model's name to a model that answers, with progress.

use std::time::Instant;

use anyhow::Result;
use tessera_engine::{Lifecycle, LoadOptions, Loading, Model, PassedOver};
use tessera_hub::Event;

use crate::{
    args::LoadArgs, context::Context, device::Machine, errors::TooLarge, progress::Progress, units,
};

/// A model, and what computes it.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub model: Model,
    /// What computes.
    pub machine: Machine,
}

impl Drop for Loaded {
    /// Waits until the model is gone: a GPU's driver does not bear the end of a process beside that.
    fn drop(&mut self) {
        // a model that has failed is gone already
        let _ = self.model.unload().wait();
    }
}

/// Loads a model, fetching it if it is not here. `adjust` has the last word on the options.
///
/// # Errors
/// Whatever the engine says.
pub fn load(
    context: &Context,
    name: &str,
    args: &LoadArgs,
    adjust: impl FnOnce(&mut LoadOptions),
) -> Result<Loaded> {
    let begun = Instant::now();
    let (mut options, machine) = options(context, args)?;
    adjust(&mut options);
    let allowed = || args.memory.or_else(|| machine.budget());
    let model = watch(context, name, Model::load(name, options), &allowed)?;
    let machine = machine.settled(model.info().backend);
    tell(context, &model, &machine, begun);
    Ok(Loaded { model, machine })
}

/// What the engine is told about loading for one person, and the backend it will use.
///
/// # Errors
/// When the machine lacks the device or the instruction set, or there is no place for a cache.
pub fn options(context: &Context, args: &LoadArgs) -> Result<(LoadOptions, Machine)> {
    let machine = Machine::of(args)?;
    let options = LoadOptions {
        backend: machine.choice(),
        context: args.context,
        kv: args.kv,
        memory: args.memory.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        hub: Some(context.hub()?.options().clone()),
        // One person talks to one model.
        max_sequences: 1,
        ..LoadOptions::default()
    };
    Ok((options, machine))
}

/// Bytes that a model may take, if that is known.
type Allowed<'a> = dyn Fn() -> Option<u64> + Sync + 'a;

/// Waits for a model, showing what happens; Ctrl-C gives it up.
fn watch(context: &Context, name: &str, loading: Loading, allowed: &Allowed<'_>) -> Result<Model> {
    let canceller = loading.canceller();
    let work = || follow(context, name, loading, allowed);
    context.interrupts.during(move || canceller.cancel(), work).0
}

/// Shows what happens until the model is there, and gives up before a download that cannot fit.
fn follow(context: &Context, name: &str, loading: Loading, allowed: &Allowed<'_>) -> Result<Model> {
    let progress = Progress::new(context);
    let mut life = loading.lifecycle();
    while let Some(state) = life.next_blocking() {
        if let Lifecycle::Fetching(Event::Planned { bytes, .. }) = state
            && let Some(allowed) = allowed()
            && bytes > allowed
        {
            return Err(TooLarge { name: name.to_owned(), bytes, allowed }.into());
        }
        progress.life(&state);
        if matches!(state, Lifecycle::Ready | Lifecycle::Failed { .. }) {
            break;
        }
    }
    progress.finish();
    Ok(loading.wait()?)
}

/// A line for each backend that was left out.
pub fn passed_over(all: &[PassedOver]) -> impl Iterator<Item = String> {
    all.iter().map(|PassedOver { backend, why }| format!("not {backend}: {why}"))
}

/// What `--verbose` tells about a loaded model.
fn tell(context: &Context, model: &Model, machine: &Machine, begun: Instant) {
    let (info, memory) = (model.info(), model.status().memory);
    if let Some(path) = &info.path {
        context.detail(&format!("model: {}", path.display()));
    }
    if let Some(details) = &info.details {
        let parameters = units::count(details.parameters as u64);
        context.detail(&format!(
            "{}, {parameters} parameters, {}",
            details.family,
            details.quantization()
        ));
    }
    for line in passed_over(&info.passed_over) {
        context.detail(&line);
    }
    context.detail(&format!(
        "backend: {}, {} threads, {}",
        info.backend,
        machine.threads(),
        machine.level()
    ));
    context.detail(&format!("context: {}", info.context));
    context.detail(&format!(
        "memory: {} of weights, {} to compute in, up to {} for a full context, {} allowed",
        units::bytes((memory.weights + memory.mapped) as u64),
        units::bytes(memory.arena as u64),
        units::bytes(info.context_bytes as u64),
        units::bytes(info.budget as u64),
    ));
    context.detail(&format!("ready after {}", units::time(begun.elapsed())));
}
