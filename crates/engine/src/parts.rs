//! From the parts of a model to one that answers.

use std::{
    ops::ControlFlow,
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Instant,
};

use tessera_graph::{Executable, Graph, Limits, Weights};
use tessera_state::{Budget, Options, State};
use tessera_text::{ChatTemplate, Tokenizer};

use crate::{
    CapabilitySet, ContextChoice, Lifecycle, LoadError, LoadOptions, Model, ModelInfo,
    SamplingOptions, SamplingSource, Stage,
    backend::Place,
    command::Commands,
    fit::{KEEP, Needs},
    loading::Loaded,
    place::Candidate,
    runner::Runner,
    scheduler::{Bounds, Scheduler, Watch},
    text::Text,
    work::Cancel,
};

/// Everything a model is made of, for those who make one in memory; see
/// [`Model::from_parts`](crate::Model::from_parts).
pub struct Parts {
    /// A name, for errors and logs.
    pub name: String,
    /// Where its files are.
    pub path: Option<PathBuf>,
    /// What to compute.
    pub graph: Graph,
    /// The graph's weights.
    pub weights: Weights,
    /// Text to tokens.
    pub tokenizer: Tokenizer,
    /// How conversations are written.
    pub template: Option<ChatTemplate>,
    /// Tokens that end an answer.
    pub stop_tokens: Vec<u32>,
    /// How tokens are drawn unless a request says otherwise.
    pub sampling: SamplingOptions,
    /// Whose word that is: [`SamplingSource::Parts`] unless it comes from files.
    pub sampling_source: SamplingSource,
    /// Positions the model was made for.
    pub trained_context: usize,
    /// What it can do.
    pub capabilities: CapabilitySet,
    /// Figures of the checkpoint.
    pub details: Option<tessera_models::Info>,
}

/// A compiled model, and what it was compiled for.
pub(crate) struct Compiled {
    exec: Box<dyn Executable>,
    context: ContextChoice,
    limits: Limits,
    needs: Needs,
    state: State,
}

/// Checks that the model fits, and compiles it. `weights` are those of the parts.
pub(crate) fn compile(
    parts: &Parts,
    weights: Weights,
    options: &LoadOptions,
    place: &Place,
    watch: &Arc<Watch>,
    cancel: &Cancel,
) -> Result<Compiled, LoadError> {
    let (trained, backend) = (parts.trained_context, &*place.backend);
    let candidate = Candidate { graph: &parts.graph, weights: &weights, backend, options, trained };
    let context = candidate.context(place.budget)?;
    let limits = candidate.limits(context.tokens);
    let needs = candidate.needs(context.tokens)?;

    cancel.check()?;
    let mut progress = |done: usize, total: usize| {
        let (stage, done, total) = (Stage::Weights, done as u64, total as u64);
        watch.lifecycle.set(Lifecycle::Loading { stage, done, total });
        if cancel.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let _ = progress(0, needs.weights);
    for weight in &weights.0 {
        // Where the disk is busy, asking waits, too.
        cancel.check()?;
        weight.codes.prefetch();
    }
    let exec = backend.compile(&parts.graph, weights, &limits, &mut progress)?;

    let memory = exec.memory();
    let mut account = Budget::new(place.budget);
    let held =
        [memory.weights, memory.mapped, memory.arena].into_iter().fold(0, usize::saturating_add);
    account.take("the model", held, "choose a smaller one")?;
    let sequences = options.max_sequences + options.max_sessions + 1; // one for benchmarks
    let bounds = Options { context: context.tokens, sequences, keep: KEEP };
    let state = State::new(needs.groups.clone(), bounds, account);
    Ok(Compiled { exec, context, limits, needs, state })
}

/// Makes a compiled model's scheduler.
pub(crate) fn start(
    parts: Parts,
    compiled: Compiled,
    options: &LoadOptions,
    place: Place,
    watch: &Arc<Watch>,
    begun: Instant,
) -> Result<Loaded, LoadError> {
    let Compiled { exec, context, limits, needs, state } = compiled;
    let info = ModelInfo {
        name: parts.name,
        path: parts.path,
        details: parts.details,
        backend: place.backend.name(),
        passed_over: place.passed_over,
        capabilities: parts.capabilities,
        context,
        limits: limits.clone(),
        vocabulary: parts.graph.vocab(),
        stop_tokens: parts.stop_tokens,
        sampling: parts.sampling.or(&SamplingOptions::FALLBACK),
        sampling_source: parts.sampling_source,
        budget: place.budget,
        context_bytes: needs.kv(context.tokens),
        load_time: begun.elapsed(),
    };
    let text = Text { tokenizer: Arc::new(parts.tokenizer), template: parts.template };
    let runner = Runner::new(exec, state, limits, &parts.graph);
    let token_ids = runner.token_ids;
    let (commands, receiver): (_, mpsc::Receiver<_>) = Commands::new();
    let model = Model::new(commands, watch.clone(), text, info, token_ids);
    let bounds = Bounds { running: options.max_sequences, waiting: options.max_waiting };
    Ok((model, Scheduler::new(runner, bounds, watch.clone()), receiver))
}
