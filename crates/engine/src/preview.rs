//! What a model would be, told without loading it.

use tessera_graph::{PAGE, StorageKind};
use tessera_hub::Resolved;

use crate::{
    CapabilitySet, ContextChoice, LoadError, LoadOptions, PassedOver, SamplingOptions,
    SamplingSource,
    backend::{Place, Places},
    load::{Opened, open},
    place::Candidate,
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
    /// Name of the backend that would compute it.
    pub backend: &'static str,
    /// Backends that would be taken before it, and why they would not.
    pub passed_over: Vec<PassedOver>,
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
    let mut places = Places::of(options);
    let mut place = places.first()?;
    loop {
        let error = match at(found, options, &place) {
            // at the last place a refusal is what there is to tell
            Ok(Preview { context: Err(error), .. }) if places.more() => error,
            Ok(preview) => return Ok(preview),
            Err(error) => error,
        };
        place = places.after(error)?;
    }
}

fn at(found: &Resolved, options: &LoadOptions, place: &Place) -> Result<Preview, LoadError> {
    let name = found.path.display().to_string();
    let Opened { parts, offered, details } =
        open(&name, found, options, place, &|_| {}, &Cancel::default())?;
    let candidate = Candidate {
        graph: &parts.graph,
        weights: &parts.weights,
        backend: &*place.backend,
        options,
        trained: parts.trained_context,
    };
    let context = candidate.context(place.budget);
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
        backend: place.backend.name(),
        passed_over: place.passed_over.clone(),
        budget: place.budget,
        context,
        positions,
        weights: needs.weights,
        arena: needs.arena,
        context_bytes: needs.kv(positions),
        token_bytes: bytes(false) / PAGE,
        recurrent_bytes: bytes(true),
    })
}
