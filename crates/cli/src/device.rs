//! What computes: the processor or a GPU, as `--device` says.

use anyhow::Result;
use clap::ValueEnum;
use tessera_cpu::{Cpu, CpuOptions};
use tessera_gpu::{
    Gpu, MetalDevice,
    cuda::Cuda,
    device::DeviceError,
    sim::Sim,
    tune::{Folder, Report, search::Watch},
};
use tessera_graph::{Backend, BackendError, KvType};
use tessera_models::Bound;

use crate::{args::LoadArgs, errors::usage};

/// An NVIDIA GPU, with what `tessera tune` found for it; so the others.
fn cuda() -> Gpu<impl Fn() -> Result<Cuda, DeviceError>> {
    tessera_gpu::cuda(tessera_gpu::cuda::Options::default()).with_tables(Folder::of_user())
}

fn metal() -> Gpu<impl Fn() -> Result<MetalDevice, DeviceError>> {
    tessera_gpu::metal(tessera_gpu::MetalOptions::default()).with_tables(Folder::of_user())
}

fn sim() -> Gpu<impl Fn() -> Result<Sim, DeviceError>> {
    tessera_gpu::sim(tessera_gpu::Checks::Access).with_tables(Folder::of_user())
}

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

impl Device {
    /// Searches for the fastest kernels, and keeps them if `save`.
    ///
    /// # Errors
    /// When it is no GPU, or the search fails or is given up.
    pub fn tune(
        self,
        model: &Bound,
        kv: KvType,
        rows: &[u32],
        save: bool,
        watch: &mut Watch<'_>,
    ) -> Result<Report> {
        let Bound { graph, weights, .. } = model;
        let found: Result<_, BackendError> = match self {
            Self::Auto | Self::Cpu => {
                return Err(usage("kernels of GPUs are tuned: take --device cuda, metal or sim"));
            }
            Self::Metal => metal().tune(graph, weights, kv, rows, save, watch),
            Self::Cuda => cuda().tune(graph, weights, kv, rows, save, watch),
            Self::Sim => sim().tune(graph, weights, kv, rows, save, watch),
        };
        Ok(found?)
    }
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
            Self::Gpu(Device::Metal) => Box::new(metal()),
            Self::Gpu(Device::Cuda) => Box::new(cuda()),
            Self::Gpu(_) => Box::new(sim()),
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
