//! What a loaded model is, and how it is doing.

use std::{path::PathBuf, time::Duration};

use tessera_graph::{Limits, MemoryReport};

use crate::{CapabilitySet, ContextChoice, PassedOver, SamplingOptions, SamplingSource};

/// What a loaded model is; does not change.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// The name it was loaded by.
    pub name: String,
    /// Where its files are; `None` for a model made in memory.
    pub path: Option<PathBuf>,
    /// Figures of the checkpoint; `None` for a model made in memory.
    pub details: Option<tessera_models::Info>,
    /// Name of the backend that computes it.
    pub backend: &'static str,
    /// Backends that would have been taken before it, and why they were not.
    pub passed_over: Vec<PassedOver>,
    /// What it can do here.
    pub capabilities: CapabilitySet,
    /// Positions of a sequence, and why so many.
    pub context: ContextChoice,
    /// Bounds of a step.
    pub limits: Limits,
    /// Width of the logits.
    pub vocabulary: usize,
    /// Token ids that end an answer.
    pub stop_tokens: Vec<u32>,
    /// How tokens are drawn unless a request says otherwise; complete.
    pub sampling: SamplingOptions,
    /// Where that comes from.
    pub sampling_source: SamplingSource,
    /// The memory budget in bytes.
    pub budget: usize,
    /// Bytes of keys and values that one sequence as long as the context holds.
    pub context_bytes: usize,
    /// How long loading took, fetching included.
    pub load_time: Duration,
}

/// How a model is doing now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Status {
    /// Requests that run.
    pub running: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Idle sessions that remember something.
    pub sessions: usize,
    /// Pages and slots in use by requests and sessions.
    pub live_blocks: usize,
    /// Their bytes.
    pub live_bytes: usize,
    /// Bytes the backend holds; pages and slots are those it has made, in use or not.
    pub memory: MemoryReport,
}
