//! From a name to a model: found, fetched, opened, compiled.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use tessera_formats::Checkpoint;
use tessera_hub::Resolved;
use tessera_models::{BuildOptions, Info};
use tessera_text::{ChatTemplate, StopTokens, Tokenizer};

use crate::{
    Capability, CapabilitySet, Lifecycle, LoadError, LoadOptions, Parts, SamplingOptions, Stage,
    backend::{Place, Places},
    fetch,
    loading::Loaded,
    parts::{compile, start},
    place::Candidate,
    scheduler::Watch,
    text::supports_tools,
    work::Cancel,
};

/// Loads the model called `name`.
pub(crate) fn load(
    name: &str,
    options: &LoadOptions,
    watch: &Arc<Watch>,
    cancel: &Cancel,
) -> Result<Loaded, LoadError> {
    let begun = Instant::now();
    options.check()?;
    let mut places = Places::of(options);
    let mut place = places.first()?;
    watch.lifecycle.set(Lifecycle::Resolving { name: name.to_owned() });
    let found = fetch::resolve(name, options.hub.clone(), watch, cancel)?;
    let stage = |stage| watch.lifecycle.set(Lifecycle::Loading { stage, done: 0, total: 0 });
    loop {
        let compiled = open(name, &found, options, &place, &stage, cancel).and_then(|opened| {
            let mut parts = opened.parts;
            let weights = std::mem::take(&mut parts.weights);
            let compiled = compile(&parts, weights, options, &place, watch, cancel)?;
            Ok((parts, compiled))
        });
        match compiled {
            Ok((parts, compiled)) => {
                return start(parts, compiled, options, place, watch, begun);
            }
            // it is opened anew there, as the context it is built for depends on the memory
            Err(error) => place = places.after(error)?,
        }
    }
}

/// A model whose files are open.
pub(crate) struct Opened {
    pub(crate) parts: Parts,
    /// What its weights and template are good for, whether or not this program can run it.
    pub(crate) offered: CapabilitySet,
    pub(crate) details: Info,
}

/// Opens the files of a model; only their headers are read. `stage` is told what is being done.
pub(crate) fn open(
    name: &str,
    found: &Resolved,
    options: &LoadOptions,
    place: &Place,
    stage: &dyn Fn(Stage),
    cancel: &Cancel,
) -> Result<Opened, LoadError> {
    let stage = |next| {
        stage(next);
        cancel.check()
    };
    stage(Stage::Open)?;
    // No more is mapped than the wanted capabilities need, of those that can be run at all.
    let mapped = options.capabilities.and(CapabilitySet::BUILT);
    let checkpoint = tessera_models::checkpoint(&found.path, mapped)?;
    stage(Stage::Text)?;
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint)?;
    let template = ChatTemplate::from_checkpoint(&checkpoint, &tokenizer)?;
    let offered = offered(&checkpoint, template.as_ref());
    check(name, options.capabilities, offered)?;
    stage(Stage::Plan)?;
    let bound = build(&checkpoint, options, place)?;
    let (sampling, sampling_source) =
        SamplingOptions::of_model(&checkpoint, found.sampling.as_ref())?;
    let generation = checkpoint.generation_config();
    let gathered = StopTokens::gather(&tokenizer, template.as_ref(), generation)?;
    let stop_tokens =
        bound.info.stop_ids.iter().chain(gathered.ids()).copied().collect::<BTreeSet<u32>>();
    let parts = Parts {
        name: name.to_owned(),
        path: Some(found.path.clone()),
        graph: bound.graph,
        weights: bound.weights,
        tokenizer,
        template,
        stop_tokens: stop_tokens.into_iter().collect(),
        sampling,
        sampling_source,
        trained_context: bound.info.context,
        capabilities: offered.and(CapabilitySet::BUILT),
        details: Some(bound.info.clone()),
    };
    Ok(Opened { parts, offered, details: bound.info })
}

/// Builds the graph for the context it will run with: LongRoPE's frequencies depend on it.
fn build(
    checkpoint: &Checkpoint,
    options: &LoadOptions,
    place: &Place,
) -> Result<tessera_models::Bound, LoadError> {
    let open = |context| tessera_models::open(checkpoint, &BuildOptions { context });
    let bound = open(options.context)?;
    let (graph, weights, trained) = (&bound.graph, &bound.weights, bound.info.context);
    let backend = &*place.backend;
    let context = Candidate { graph, weights, backend, options, trained }.context(place.budget);
    match context {
        Ok(choice) if options.context.is_none() && choice.tokens != trained => {
            Ok(open(Some(choice.tokens))?)
        }
        // What does not fit is refused when it is placed.
        _ => Ok(bound),
    }
}

/// What the model's weights and template are good for.
fn offered(checkpoint: &Checkpoint, template: Option<&ChatTemplate>) -> CapabilitySet {
    let offered = tessera_models::offered(checkpoint);
    match template {
        Some(template) if supports_tools(template) => offered.with(Capability::ToolCalling),
        _ => offered,
    }
}

/// Refuses what the model does not offer, and what this program does not run.
fn check(name: &str, wanted: CapabilitySet, offered: CapabilitySet) -> Result<(), LoadError> {
    let model = || name.to_owned();
    let missing = wanted.minus(offered);
    if !missing.is_empty() {
        return Err(LoadError::Capability { model: model(), missing, offered });
    }
    let unsupported = wanted.minus(CapabilitySet::BUILT);
    if !unsupported.is_empty() {
        return Err(LoadError::CapabilityUnsupported { model: model(), unsupported });
    }
    Ok(())
}
