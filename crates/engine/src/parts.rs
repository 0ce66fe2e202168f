//! From the parts of a model to one that answers.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    time::Instant,
};

use tessera_graph::{Graph, Limits, Weights, fuse, plan};
use tessera_state::{Budget, Group, Options, State};
use tessera_text::{ChatTemplate, Tokenizer};

use crate::{
    CapabilitySet, Lifecycle, LoadError, LoadOptions, Model, ModelInfo, SamplingOptions, Stage,
    backend,
    command::Commands,
    fit::{self, Needs, ROLLBACK},
    loading::Loaded,
    memory,
    runner::Runner,
    scheduler::{Bounds, Scheduler, Watch},
    text::Text,
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
    /// Positions the model was made for.
    pub trained_context: usize,
    /// What it can do.
    pub capabilities: CapabilitySet,
    /// Figures of the checkpoint.
    pub details: Option<tessera_models::Info>,
}

/// The share of available memory that a model may hold unless told otherwise.
const MEMORY_SHARE: f64 = 0.8;

/// The memory budget in bytes.
pub(crate) fn budget(options: &LoadOptions) -> usize {
    options.memory.unwrap_or_else(|| (memory::available() as f64 * MEMORY_SHARE) as usize)
}

/// Upper bounds of a step.
pub(crate) fn limits(options: &LoadOptions, context: usize) -> Limits {
    Limits {
        tokens: options.prefill_chunk.max(options.max_sequences),
        outputs: options.output_rows.max(options.max_sequences),
        runs: options.max_sequences,
        context,
        kv: options.kv,
    }
}

/// What has to fit when `graph` is compiled within `limits`; nothing is allocated to find out.
pub(crate) fn needs(graph: &Graph, weights: &Weights, limits: &Limits) -> Needs {
    Needs {
        weights: weights.0.iter().map(tessera_quant::Weight::bytes).sum(),
        arena: plan(&fuse(graph), limits).bytes,
        groups: fit::groups(graph, limits.kv),
        step: limits.tokens,
    }
}

/// Checks that the model fits, compiles it and makes its scheduler.
pub(crate) fn start(
    parts: Parts,
    options: &LoadOptions,
    watch: &Arc<Watch>,
    begun: Instant,
) -> Result<Loaded, LoadError> {
    let budget = budget(options);
    let trained = parts.trained_context;
    let mut limits = limits(options, options.context.unwrap_or(trained));
    let needs = needs(&parts.graph, &parts.weights, &limits);
    limits.context = fit::fit(&needs, trained, options.context, budget)?.tokens;

    let backend = backend::make(&options.backend)?;
    let mut progress = |done: usize, total: usize| {
        let (stage, done, total) = (Stage::Weights, done as u64, total as u64);
        watch.lifecycle.set(Lifecycle::Loading { stage, done, total });
    };
    progress(0, needs.weights);
    let exec = backend.compile(&parts.graph, parts.weights, &limits, &mut progress)?;

    // Now that the backend has laid everything out, count again with what it really holds.
    let memory = exec.memory();
    let page_bytes =
        |(i, group): (usize, &Group)| Group { page_bytes: exec.page_bytes(i), ..*group };
    let groups: Vec<Group> = needs.groups.iter().enumerate().map(page_bytes).collect();
    let (weights, arena) = (memory.weights, memory.arena);
    let needs = Needs { weights, arena, groups, step: limits.tokens };
    let mut context = fit::fit(&needs, trained, options.context, budget)?;
    context.tokens = context.tokens.min(limits.context);

    let mut account = Budget::new(budget);
    account.take("the model", weights.saturating_add(arena), "choose a smaller one")?;
    let context_bytes =
        tessera_state::sequence_bytes(&needs.groups, context.tokens, needs.step, ROLLBACK);
    let sequences = options.max_sequences + options.max_sessions + 1; // one for benchmarks
    let bounds = Options { context: context.tokens, sequences, rollback: ROLLBACK };
    let state = State::new(needs.groups, bounds, account);
    let info = ModelInfo {
        name: parts.name,
        path: parts.path,
        details: parts.details,
        backend: backend.name(),
        capabilities: parts.capabilities,
        context,
        limits: limits.clone(),
        vocabulary: parts.graph.vocab(),
        stop_tokens: parts.stop_tokens,
        sampling: parts.sampling.or(&SamplingOptions::FALLBACK),
        budget,
        context_bytes,
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
