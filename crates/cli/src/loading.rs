//! From a model's name to a model that answers, with progress.

use std::{sync::Arc, time::Instant};

use anyhow::{Context as _, Result};
use tessera_cpu::{Cpu, CpuOptions};
use tessera_engine::{BackendChoice, LoadOptions, Model};

use crate::{args::LoadArgs, context::Context, progress::Progress, units};

/// A model, and what computes it.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub model: Model,
    /// The backend's own account of itself.
    pub cpu: Cpu,
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
    let cpu = CpuOptions { threads: args.threads, precise: args.precise, isa: args.isa };
    let cpu = Cpu::new(&cpu)?;
    let progress = Arc::new(Progress::new(context));
    let listener = progress.clone();
    let backend = cpu.clone();
    let mut options = LoadOptions {
        backend: BackendChoice::Custom(Arc::new(move || Ok(Box::new(backend.clone())))),
        context: args.context,
        memory: args.memory.map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        hub: Some(context.hub()?.options().clone()),
        // One person talks to one model.
        max_sequences: 1,
        on_event: Some(Arc::new(move |state| listener.life(state))),
        ..LoadOptions::default()
    };
    adjust(&mut options);
    let loaded = Model::load(name, options).wait();
    progress.finish();
    let model = loaded.with_context(|| format!("cannot load {name}"))?;
    tell(context, &model, &cpu, begun);
    Ok(Loaded { model, cpu })
}

/// What `--verbose` tells about a loaded model.
fn tell(context: &Context, model: &Model, cpu: &Cpu, begun: Instant) {
    let (info, memory) = (model.info(), model.status().memory);
    if let Some(path) = &info.path {
        context.detail(&format!("model: {}", path.display()));
    }
    if let Some(details) = &info.details {
        let parameters = units::count(details.parameters as u64);
        context.detail(&format!("{}, {parameters} parameters, {}", details.family, details.quantization()));
    }
    context.detail(&format!(
        "backend: {}, {} threads, {}",
        info.backend,
        cpu.threads(),
        cpu.level()
    ));
    context.detail(&format!("context: {}", info.context));
    context.detail(&format!(
        "memory: {} of weights, {} to compute in, up to {} for a full context, {} allowed",
        units::bytes(memory.weights as u64),
        units::bytes(memory.arena as u64),
        units::bytes(info.context_bytes as u64),
        units::bytes(info.budget as u64),
    ));
    context.detail(&format!("ready after {}", units::time(begun.elapsed())));
}
