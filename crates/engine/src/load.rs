//! From a name to a model: found, fetched, opened, compiled.

use std::{collections::BTreeSet, path::Path, sync::Arc, time::Instant};

use tessera_formats::Checkpoint;
use tessera_models::BuildOptions;
use tessera_text::{ChatTemplate, StopTokens, Tokenizer};

use crate::{
    Capability, CapabilitySet, Lifecycle, LoadError, LoadOptions, Parts, SamplingOptions, Stage,
    fetch, fit,
    loading::Loaded,
    parts::{budget, limits, needs, start},
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
    watch.lifecycle.set(Lifecycle::Resolving { name: name.to_owned() });
    let path = fetch::resolve(name, options.hub.clone(), watch, cancel)?.path;
    let parts = open(name, &path, options, watch)?;
    if cancel.is_set() {
        return Err(LoadError::Cancelled);
    }
    start(parts, options, watch, begun)
}

/// Opens the files at `path` as a model's parts; only their headers are read.
fn open(name: &str, path: &Path, options: &LoadOptions, watch: &Watch) -> Result<Parts, LoadError> {
    let stage = |stage| watch.lifecycle.set(Lifecycle::Loading { stage, done: 0, total: 0 });
    stage(Stage::Open);
    let checkpoint = Checkpoint::open(path)?;
    stage(Stage::Text);
    let tokenizer = Tokenizer::from_checkpoint(&checkpoint)?;
    let template = ChatTemplate::from_checkpoint(&checkpoint, &tokenizer)?;
    let offered = offered(template.as_ref());
    let missing = options.capabilities.minus(offered);
    if !missing.is_empty() {
        return Err(LoadError::Capability { model: name.to_owned(), missing, offered });
    }
    stage(Stage::Plan);
    let bound = build(&checkpoint, options)?;
    let sampling = match checkpoint.generation_config() {
        Some(config) => SamplingOptions::from_config(config)?,
        None => SamplingOptions::default(),
    };
    let generation = checkpoint.generation_config();
    let gathered = StopTokens::gather(&tokenizer, template.as_ref(), generation)?;
    let stop_tokens =
        bound.info.stop_ids.iter().chain(gathered.ids()).copied().collect::<BTreeSet<u32>>();
    Ok(Parts {
        name: name.to_owned(),
        path: Some(path.to_owned()),
        graph: bound.graph,
        weights: bound.weights,
        tokenizer,
        template,
        stop_tokens: stop_tokens.into_iter().collect(),
        sampling,
        trained_context: bound.info.context,
        capabilities: offered,
        details: Some(bound.info),
    })
}

/// Builds the graph for the context it will run with: LongRoPE's frequencies depend on it.
fn build(
    checkpoint: &Checkpoint,
    options: &LoadOptions,
) -> Result<tessera_models::Bound, LoadError> {
    let build = BuildOptions { context: options.context };
    let bound = tessera_models::open(checkpoint, &build)?;
    let trained = bound.info.context;
    let limits = limits(options, options.context.unwrap_or(trained));
    let needs = needs(&bound.graph, &bound.weights, &limits);
    let context = fit::fit(&needs, trained, options.context, budget(options))?.tokens;
    if options.context.is_some() || context == trained {
        return Ok(bound);
    }
    Ok(tessera_models::open(checkpoint, &BuildOptions { context: Some(context) })?)
}

/// What a text model offers.
fn offered(template: Option<&ChatTemplate>) -> CapabilitySet {
    match template {
        Some(template) if supports_tools(template) => {
            CapabilitySet::TEXT.with(Capability::ToolCalling)
        }
        _ => CapabilitySet::TEXT,
    }
}
