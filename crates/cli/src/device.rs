//! What computes: the processor or a GPU, as `--device` says.

use anyhow::Result;
use clap::ValueEnum;
use tessera_cpu::{Cpu, CpuOptions};
use tessera_graph::Backend;

use crate::{args::LoadArgs, errors::usage};

/// The choices of `--device`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Device {
    /// The processor, until GPUs have been measured.
    #[default]
    Auto,
    /// The processor.
    Cpu,
    /// An Apple GPU.
    Metal,
    /// An NVIDIA GPU.
    Cuda,
    /// A simulated GPU: very slow, for tests.
    Sim,
}

/// What computes, and what it says of itself.
#[derive(Debug, Clone)]
pub enum Machine {
    /// The processor.
    Cpu(Cpu),
    /// A GPU.
    Gpu(Device),
}

impl Machine {
    /// What the options of loading ask for.
    ///
    /// # Errors
    /// When the processor lacks the instruction set, or an option is the processor's and a GPU is chosen.
    pub fn of(args: &LoadArgs) -> Result<Self> {
        let LoadArgs { device, threads, precise, isa, .. } = *args;
        if matches!(device, Device::Auto | Device::Cpu) {
            return Ok(Self::Cpu(Cpu::new(&CpuOptions { threads, precise, isa })?));
        }
        let given =
            [("--threads", threads.is_some()), ("--precise", precise), ("--isa", isa.is_some())];
        match given.iter().find(|(_, given)| *given) {
            Some((option, _)) => Err(usage(format!("{option} is for --device cpu"))),
            None => Ok(Self::Gpu(device)),
        }
    }

    /// The backend. Whether a GPU is there shows when a model is compiled.
    pub fn backend(&self) -> Box<dyn Backend> {
        match self {
            Self::Cpu(cpu) => Box::new(cpu.clone()),
            Self::Gpu(Device::Metal) => Box::new(tessera_gpu::metal()),
            Self::Gpu(Device::Cuda) => {
                Box::new(tessera_gpu::cuda(tessera_gpu::cuda::Options::default()))
            }
            Self::Gpu(_) => Box::new(tessera_gpu::sim(tessera_gpu::Checks::Access)),
        }
    }

    /// Threads of the processor that a step runs on.
    pub fn threads(&self) -> usize {
        match self {
            Self::Cpu(cpu) => cpu.threads(),
            Self::Gpu(_) => 0,
        }
    }

    /// The processor's instruction set.
    pub fn level(&self) -> String {
        match self {
            Self::Cpu(cpu) => cpu.level().to_string(),
            Self::Gpu(_) => "none".into(),
        }
    }
}
