//! The one narrow door to a backend: compile, then step.

use std::ops::ControlFlow;

use crate::{Batch, Graph, Sampled, Weights};

/// Upper bounds a backend plans for; a step that exceeds one is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Tokens in one step.
    pub tokens: usize,
    /// Output rows in one step.
    pub outputs: usize,
    /// Runs in one step.
    pub runs: usize,
    /// Positions in a sequence.
    pub context: usize,
    /// Element type of remembered keys and values.
    pub kv: KvType,
}

/// Element type of remembered keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[allow(missing_docs)] // the names are the standard ones
pub enum KvType {
    #[default]
    F16,
    BF16,
    F32,
}

impl KvType {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::F16 | Self::BF16 => 2,
            Self::F32 => 4,
        }
    }
}

/// Bytes a compiled model will hold, known before anything is allocated.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Weights in the backend's layout.
    pub weights: usize,
    /// Weights that are read where they lie in mapped files. Nothing is allocated for them, but each step needs them at hand.
    pub mapped: usize,
    /// Intermediates of a step at its limits.
    pub arena: usize,
    /// One page or slot of each of [`Graph::groups`].
    pub blocks: Vec<usize>,
}

/// Memory of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceMemory {
    /// Bytes that can be had now.
    pub free: usize,
    /// Bytes in all.
    pub total: usize,
    /// Whether it is the system's own, which the processor takes from as well.
    pub unified: bool,
}

/// Told (bytes done, bytes in all) as weights are laid out; a break ends the work with
/// [`BackendError::Cancelled`].
pub type Progress<'a> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'a;

/// A [`Progress`] that nobody watches.
pub fn unwatched(_done: usize, _total: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Bytes a compiled model holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryReport {
    /// Weights in the backend's layout.
    pub weights: usize,
    /// Weights that are read where they lie in mapped files.
    pub mapped: usize,
    /// Intermediates of a step at its limits.
    pub arena: usize,
    /// Pages and slots held now, all groups.
    pub state: usize,
}

/// Why a backend refuses.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The graph or a weight asks for something this backend does not do.
    #[error("{backend} backend: {what}")]
    Unsupported {
        /// Backend name.
        backend: &'static str,
        /// What is not supported, naming the operation or weight.
        what: String,
    },
    /// A step exceeds the limits it was compiled for.
    #[error("step of {value} {what} exceeds the compiled limit of {limit}")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// The step's value.
        value: usize,
        /// The compiled limit.
        limit: usize,
    },
    /// The system gave no memory.
    #[error("out of memory: {bytes} bytes for {what}")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
        /// For what.
        what: &'static str,
    },
    /// The weights do not fit the graph (a caller's mistake).
    #[error("weights do not fit the graph: {0}")]
    Weights(String),
    /// The model does not fit what a device has free; nothing has been allocated there.
    #[error(
        "the {device} device has {} free, and the model needs {} there ({} of weights, {} to compute in, {} to \
         remember {context} tokens); ask for a shorter context, take a smaller packing or model, or the processor",
        mebibytes(*.free), mebibytes(weights.saturating_add(*.arena).saturating_add(*.states)),
        mebibytes(*.weights), mebibytes(*.arena), mebibytes(*.states)
    )]
    DeviceMemory {
        /// Kind of device.
        device: &'static str,
        /// Bytes of weights.
        weights: usize,
        /// Bytes of intermediates.
        arena: usize,
        /// Bytes of pages and slots of one sequence.
        states: usize,
        /// Positions of that sequence.
        context: usize,
        /// Bytes that the device has free.
        free: usize,
    },
    /// The device failed.
    #[error("{0}")]
    Device(String),
    /// The caller's progress function broke off.
    #[error("compiling was cancelled")]
    Cancelled,
    /// A batch is inconsistent (a caller's mistake, found before it does harm).
    #[error("malformed batch: {0}")]
    Batch(String),
}

/// In whole MiB, so that what is too much looks so.
fn mebibytes(bytes: usize) -> String {
    format!("{} MiB", bytes.div_ceil(1 << 20))
}

/// Makes graphs executable on one kind of device.
pub trait Backend {
    /// Short name: `cpu`, `oracle`.
    fn name(&self) -> &'static str;

    /// The type of keys and values that suits it best.
    fn kv(&self) -> KvType {
        KvType::F16
    }

    /// The memory of the device it computes on; `None` where that is the system's, which tells itself. A device is opened
    /// for it.
    fn memory(&self) -> Result<Option<DeviceMemory>, BackendError> {
        Ok(None)
    }

    /// What [`compile`](Self::compile) with the same arguments will hold: weights and arena of
    /// [`Executable::memory`], and [`Executable::block_bytes`] of every group. Allocates none of it.
    fn footprint(
        &self,
        graph: &Graph,
        weights: &Weights,
        limits: &Limits,
    ) -> Result<Footprint, BackendError>;

    /// Fuses, chooses kernels, lays out weights and plans every intermediate, so that peak memory
    /// is known before the first token and a step allocates nothing.
    ///
    /// `progress` is called as weights are laid out, and may break off; see [`Progress`].
    fn compile(
        &self,
        graph: &Graph,
        weights: Weights,
        limits: &Limits,
        progress: &mut Progress<'_>,
    ) -> Result<Box<dyn Executable>, BackendError>;
}

/// A compiled model with its state storage.
pub trait Executable: Send {
    /// Makes at least `blocks` pages or slots available in group `group` of [`Graph::groups`]; ids
    /// `0..blocks` may then appear in batches. Never shrinks.
    fn grow(&mut self, group: usize, blocks: usize) -> Result<(), BackendError>;

    /// Bytes of one page or slot of `group`.
    fn block_bytes(&self, group: usize) -> usize;

    /// Copies page or slot `from` of `group` over `to`.
    fn copy(&mut self, group: usize, from: u32, to: u32) -> Result<(), BackendError>;

    /// Appends the contents of a page or slot to `out`, in a layout of the backend's own.
    fn export(&self, group: usize, block: u32, out: &mut Vec<u8>) -> Result<(), BackendError>;

    /// Fills a page or slot with what [`Executable::export`] gave, of the same graph, limits and kind of
    /// machine. Refuses bytes of another length; what is in them is not checked.
    fn import(&mut self, group: usize, block: u32, bytes: &[u8]) -> Result<(), BackendError>;

    /// Runs one step. `sampled` receives one entry for each output of the batch
    /// (a default entry where the output asks for logits only); its capacity is reused.
    fn step(&mut self, batch: &Batch, sampled: &mut Vec<Sampled>) -> Result<(), BackendError>;

    /// Copies the last step's logits of output row `output` into `logits` (`[vocab]`), before
    /// penalties.
    fn read_logits(&self, output: usize, logits: &mut [f32]);

    /// Bytes held now.
    fn memory(&self) -> MemoryReport;
}
