//! How a model is loaded.

use std::{fmt, sync::Arc};

use tessera_graph::{Backend, BackendError, KvType};
use tessera_hub::HubOptions;

use crate::{CapabilitySet, Lifecycle, LoadError};

/// Makes a backend; called once, on the model's thread.
pub type BackendFactory = Arc<dyn Fn() -> Result<Box<dyn Backend>, BackendError> + Send + Sync>;

/// Told every [`Lifecycle`] state, on the model's thread; must not block.
pub type Listener = Arc<dyn Fn(&Lifecycle) + Send + Sync>;

/// What computes.
#[derive(Clone)]
#[non_exhaustive]
pub enum BackendChoice {
    /// The processor.
    Cpu(CpuChoice),
    /// The slow, obvious interpreter that backends are tested against. For comparison only.
    Oracle,
    /// Another.
    Custom(BackendFactory),
    /// The first of these that is here, and does and has room for what the model asks for, each with its name. What is passed
    /// over is told in [`ModelInfo`](crate::ModelInfo).
    First(Vec<(&'static str, BackendFactory)>),
}

/// How the processor is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuChoice {
    /// Threads; one for each physical core if `None`.
    pub threads: Option<usize>,
    /// Keep activations in f32 instead of 8-bit integers: slower, for comparison.
    pub precise: bool,
}

impl Default for BackendChoice {
    fn default() -> Self {
        Self::Cpu(CpuChoice::default())
    }
}

impl fmt::Debug for BackendChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu(choice) => choice.fmt(f),
            Self::Oracle => f.write_str("Oracle"),
            Self::Custom(_) => f.write_str("Custom"),
            Self::First(all) => f.debug_list().entries(all.iter().map(|(name, _)| name)).finish(),
        }
    }
}

/// How a model is loaded. The defaults suit one person at one machine.
#[derive(Clone)]
pub struct LoadOptions {
    /// What computes.
    pub backend: BackendChoice,
    /// Positions of a sequence, prompt and answer together. The smaller of what the model was made for
    /// and what the memory budget allows if `None`.
    pub context: Option<usize>,
    /// What is wanted of the model; only the weights for it are mapped.
    pub capabilities: CapabilitySet,
    /// Bytes the model may hold: weights, intermediates, keys and values. If `None`, 80 % of the memory that is
    /// available, or 90 % of what a device has free of its own.
    pub memory: Option<usize>,
    /// Element type of remembered keys and values; what suits the backend if `None`.
    pub kv: Option<KvType>,
    /// Where models are fetched from and kept; as the environment says if `None`.
    pub hub: Option<HubOptions>,
    /// Sequences that run at once; more wait.
    pub max_sequences: usize,
    /// Requests that wait; more are refused.
    pub max_waiting: usize,
    /// Sessions remembered while idle; beyond that the one used least recently is forgotten.
    pub max_sessions: usize,
    /// Prompt tokens in one step, at most.
    pub prefill_chunk: usize,
    /// Rows whose logits one step can give, at most; raise it to make
    /// [`Model::score`](crate::Model::score) faster. No fewer than `max_sequences`; each takes four bytes a
    /// vocabulary entry.
    pub output_rows: usize,
    /// Told every state of the model's life.
    pub on_event: Option<Listener>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            backend: BackendChoice::default(),
            context: None,
            capabilities: CapabilitySet::TEXT,
            memory: None,
            kv: None,
            hub: None,
            max_sequences: 8,
            max_waiting: 256,
            max_sessions: 16,
            prefill_chunk: 512,
            output_rows: 8,
            on_event: None,
        }
    }
}

impl fmt::Debug for LoadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions")
            .field("backend", &self.backend)
            .field("context", &self.context)
            .field("capabilities", &self.capabilities)
            .field("memory", &self.memory)
            .field("kv", &self.kv)
            .field("max_sequences", &self.max_sequences)
            .field("max_waiting", &self.max_waiting)
            .field("max_sessions", &self.max_sessions)
            .field("prefill_chunk", &self.prefill_chunk)
            .field("output_rows", &self.output_rows)
            .finish_non_exhaustive()
    }
}

impl LoadOptions {
    /// Refuses what makes no sense, before anything is touched.
    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let within = |option, value: usize, low: usize, high: usize, allowed| {
            if (low..=high).contains(&value) {
                return Ok(());
            }
            Err(LoadError::Option { option, value: value.to_string(), allowed })
        };
        within("max_sequences", self.max_sequences, 1, 4096, "1 to 4096")?;
        within("max_waiting", self.max_waiting, 0, 1 << 20, "at most 1048576")?;
        within("max_sessions", self.max_sessions, 0, 1 << 16, "at most 65536")?;
        within("prefill_chunk", self.prefill_chunk, 1, 1 << 16, "1 to 65536")?;
        within("output_rows", self.output_rows, 0, 1 << 16, "at most 65536")?;
        within("context", self.context.unwrap_or(1), 1, 1 << 30, "1 to 2^30")?;
        if !CapabilitySet::TEXT.minus(self.capabilities).is_empty() {
            let value = match self.capabilities.is_empty() {
                true => "nothing".to_owned(),
                false => self.capabilities.to_string(),
            };
            let (option, allowed) = ("capabilities", "text input and text output at least");
            return Err(LoadError::Option { option, value, allowed });
        }
        if matches!(&self.backend, BackendChoice::First(all) if all.is_empty()) {
            let (option, value) = ("backend", "one of none".to_owned());
            return Err(LoadError::Option { option, value, allowed: "one of at least one" });
        }
        if let BackendChoice::Cpu(CpuChoice { threads: Some(threads), .. }) = self.backend {
            within("threads", threads, 1, 1024, "1 to 1024")?;
        }
        Ok(())
    }
}
