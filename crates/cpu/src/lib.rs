//! The CPU backend.
//!
//! Weights are re-laid at load into tiles that every instruction set reads alike, and stay
//! packed there (2 to 8 bits, or plain floats). Activations are quantised to int8 once per row and 32
//! columns, unless [`CpuOptions::precise`] keeps them in f32. A step runs on a pool of pinned threads that meet
//! at a spinning barrier between operations; it allocates nothing.
//!
//! **Results do not depend on company.** Every sum runs in an order fixed by the model and by absolute
//! positions, so a row's logits are the same bits however the prompt is cut, whatever else is in the
//! batch, and however many threads run. They do differ between instruction sets, by rounding.

mod attend;
mod blocks;
mod buffers;
mod exec;
mod experts;
mod isa;
mod kernels;
mod kv;
mod limits;
mod load;
mod lower;
mod pool;
mod product;
mod recur;
mod region;
mod step;
mod tile;

use std::sync::Arc;

use tessera_graph::{
    Backend, BackendError, Executable, Footprint, Graph, KvType, Limits, Progress, Weights, fuse,
};

pub use isa::Level;
pub use limits::MachineLimits;

/// How to compute.
#[derive(Debug, Clone, Default)]
pub struct CpuOptions {
    /// Threads; `None` is one for each physical core this process may use.
    pub threads: Option<usize>,
    /// Keep activations in f32 instead of int8: slower, for comparison.
    pub precise: bool,
    /// Instruction set; `None` is the best of this machine.
    pub isa: Option<Level>,
}

/// The CPU backend.
#[derive(Debug, Clone)]
pub struct Cpu {
    threads: usize,
    precise: bool,
    level: Level,
}

impl Cpu {
    /// A backend with these options.
    ///
    /// # Errors
    /// When the machine lacks the instruction set, or the number of threads is not in 1 ..= 1024.
    pub fn new(options: &CpuOptions) -> Result<Self, BackendError> {
        let unsupported = |what: String| BackendError::Unsupported { backend: "cpu", what };
        let level = options.isa.unwrap_or_else(Level::best);
        if !Level::available().contains(&level) {
            return Err(unsupported(format!(
                "this machine has no {level}; its best is {}",
                Level::best()
            )));
        }
        let threads = options.threads.unwrap_or_else(default_threads);
        if !(1..=1024).contains(&threads) {
            return Err(unsupported(format!("{threads} threads; 1 to 1024 are possible")));
        }
        Ok(Self { threads, precise: options.precise, level })
    }

    /// Threads a step runs on.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Instruction set in use.
    pub fn level(&self) -> Level {
        self.level
    }
}

/// One thread for each core this process may run on.
fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Backend for Cpu {
    fn name(&self) -> &'static str {
        "cpu"
    }

    /// f32 beside exact activations, which deserve it; bfloat16 where its products are the fastest;
    /// else f16.
    fn kv(&self) -> KvType {
        match self.level {
            _ if self.precise => KvType::F32,
            Level::Avx512Bf16 => KvType::BF16,
            _ => KvType::F16,
        }
    }

    fn footprint(
        &self,
        graph: &Graph,
        weights: &Weights,
        limits: &Limits,
    ) -> Result<Footprint, BackendError> {
        weights.check(graph)?;
        exec::footprint(&fuse(graph), weights, limits, self.threads, self.precise)
    }

    fn compile(
        &self,
        graph: &Graph,
        weights: Weights,
        limits: &Limits,
        progress: &mut Progress<'_>,
    ) -> Result<Box<dyn Executable>, BackendError> {
        weights.check(graph)?;
        let graph = Arc::new(fuse(graph));
        let model = exec::Model::new(graph, weights, limits, self, progress)?;
        Ok(Box::new(model))
    }
}
