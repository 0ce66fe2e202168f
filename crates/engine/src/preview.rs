//! What a model would be, told without loading it.

use tessera_graph::{PAGE, StorageKind};
use tessera_hub::Resolved;

use crate::{
    CapabilitySet, ContextChoice, LoadError, LoadOptions, SamplingOptions, SamplingSource, backend,
    load::{Opened, open},
    place::{Candidate, budget},
    work::Cancel,
};

/// What a model would be, and need, if it were loaded; see [`Model::preview`](crate::Model::preview).
#[derive(Debug)]
pub struct Preview {
    /// Figures of the checkpoint.
    pub details: tessera_models::Info,
    /// What it can do here.
    pub capabilities: CapabilitySet,
    /// What it offers besides, and this version of the program does not run.
    pub unsupported: CapabilitySet,
    /// How tokens are drawn unless a request says otherwise; complete.
    pub sampling: SamplingOptions,
    /// Where that comes from.
    pub sampling_source: SamplingSource,
    /// The memory budget in bytes.
    pub budget: usize,
    /// The context it would have, or why it would be refused.
    pub context: Result<ContextChoice, LoadError>,
    /// Positions that the figures below are for: those of `context`, or what it was refused with.
    pub positions: usize,
    /// Bytes of weights in the backend's layout.
    pub weights: usize,
    /// Bytes of intermediates.
    pub arena: usize,
    /// Bytes that one sequence of `positions` remembers.
    pub context_bytes: usize,
    /// Bytes of keys and values of each further token, before any window is full.
    pub token_bytes: usize,
    /// Bytes of the recurrent states of a sequence, however long; it has a few copies.
    pub recurrent_bytes: usize,
}

/// Opens the files, plans, and forgets it all.
pub(crate) fn preview(found: &Resolved, options: &LoadOptions) -> Result<Preview, LoadError> {
    options.check()?;
    let options = &LoadOptions { memory: Some(budget(options)), ..options.clone() };
    let backend = backend::make(&options.backend)?;
    let name = found.path.display().to_string();
    let Opened { parts, offered, details } =
        open(&name, found, options, &*backend, &|_| {}, &Cancel::default())?;
    let candidate = Candidate {
        graph: &parts.graph,
        weights: &parts.weights,
        backend: &*backend,
        options,
        trained: parts.trained_context,
    };
    let budget = budget(options);
    let context = candidate.context(budget);
    let positions = match &context {
        Ok(choice) => choice.tokens,
        Err(LoadError::TooLarge { minimum, .. }) => *minimum,
        Err(LoadError::ContextMemory { requested, .. }) => *requested,
        Err(_) => return Err(context.err().unwrap_or(LoadError::Cancelled)),
    };
    let needs = candidate.needs(positions)?;
    let bytes = |slots: bool| {
        let groups = needs.groups.iter().filter(|g| (g.kind == StorageKind::Slots) == slots);
        groups.map(|group| group.block_bytes).sum::<usize>()
    };
    Ok(Preview {
        details,
        capabilities: parts.capabilities,
        unsupported: offered.minus(CapabilitySet::BUILT),
        sampling: parts.sampling.or(&SamplingOptions::FALLBACK),
        sampling_source: parts.sampling_source,
        budget,
        context,
        positions,
        weights: needs.weights,
        arena: needs.arena,
        context_bytes: needs.kv(positions),
        token_bytes: bytes(false) / PAGE,
        recurrent_bytes: bytes(true),
    })
}
