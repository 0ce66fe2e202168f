//! What a model takes of a device, known before anything is allocated.

use tessera_graph::{
    BackendError, DeviceMemory, Footprint, Graph, Limits, PAGE, StorageKind, Weights,
};

use crate::{
    Tuning,
    device::Device,
    draws, held,
    lower::{self, Lowered},
    state::States,
};

/// What [`Model::new`](crate::Model::new) of the same arguments will hold, on a device that adopts weights or does not.
pub fn footprint(
    graph: &Graph,
    bound: &Weights,
    limits: &Limits,
    tuning: &Tuning,
    adopts: bool,
) -> Result<Footprint, BackendError> {
    let lowered = lower::lower(graph, bound, limits, tuning)?;
    let (weights, mapped) = held::bytes(&lowered.weights, bound, adopts);
    Ok(Footprint {
        weights,
        mapped,
        arena: lowered.step_bytes(limits),
        blocks: graph
            .groups()
            .iter()
            .map(|group| States::<crate::sim::Sim>::block_bytes(graph, limits, group))
            .collect(),
    })
}

/// Refuses what a device has no room for, with one sequence as long as the limits allow, before any of it is there.
pub fn admit<D: Device>(
    graph: &Graph,
    bound: &Weights,
    lowered: &Lowered,
    limits: &Limits,
    device: &D,
) -> Result<(), BackendError> {
    let Some(DeviceMemory { free, unified, .. }) = device.memory()? else { return Ok(()) };
    let blocks = |kind| match kind {
        StorageKind::Pages { window } => {
            let seen = window.map_or(usize::MAX, |window| window.saturating_add(limits.tokens));
            limits.context.min(seen).div_ceil(PAGE)
        }
        StorageKind::Slots => 1,
    };
    let groups = graph.groups();
    let bytes = |group| States::<D>::block_bytes(graph, limits, group);
    let states: usize = groups.iter().map(|group| blocks(group.kind) * bytes(group)).sum();
    // what stays in its file takes its room where the processor's memory is the device's, too
    let (copied, mapped) = held::bytes(&lowered.weights, bound, D::ADOPTS);
    let weights = copied + if unified { mapped } else { 0 };
    let arena = lowered.step_bytes(limits);
    let (device, context) = (device.name(), limits.context);
    match weights.saturating_add(arena).saturating_add(states) <= free {
        true => Ok(()),
        false => Err(BackendError::DeviceMemory { device, weights, arena, states, context, free }),
    }
}

impl Lowered {
    /// Bytes of all that a step needs besides weights and states.
    pub fn step_bytes(&self, limits: &Limits) -> usize {
        self.arena + self.tables.words * 4 + draws::bytes(limits.outputs) + self.results.bytes
    }
}
