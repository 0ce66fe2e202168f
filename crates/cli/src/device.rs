//! What computes: the processor or a GPU, as `--device` says.

use std::sync::Arc;

use anyhow::Result;
use clap::ValueEnum;
use tessera_cpu::{Cpu, CpuOptions};
use tessera_engine::{BackendChoice, BackendFactory};
use tessera_gpu::{
    Gpu, MetalDevice,
    cuda::Cuda,
    device::DeviceError,
    sim::Sim,
    tune::{Folder, Report, Search, search::Watch},
};
use tessera_graph::{Backend, BackendError, DeviceMemory};
use tessera_models::Bound;

use crate::{args::LoadArgs, errors::usage, machine};

/// An NVIDIA GPU, with what `tessera tune` found for it; so the others.
fn cuda() -> Gpu<impl Fn() -> Result<Cuda, DeviceError>> {
    tessera_gpu::cuda(Default::default()).with_tables(Folder::of_user())
}

/// The same, for those who would as well do without.
fn cuda_ready() -> Gpu<impl Fn() -> Result<Cuda, DeviceError>> {
    tessera_gpu::cuda_ready(Default::default()).with_tables(Folder::of_user())
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
    /// A GPU that is here and has room for the model, else the processor.
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
    /// Searches for the fastest kernels.
    ///
    /// # Errors
    /// When it is no GPU, or the search fails.
    pub fn tune(self, model: &Bound, search: &Search, watch: &mut Watch<'_>) -> Result<Report> {
        let Bound { graph, weights, .. } = model;
        let found: Result<_, BackendError> = match self {
            Self::Auto | Self::Cpu => {
                return Err(usage("kernels of GPUs are tuned: take --device cuda, metal or sim"));
            }
            Self::Metal => metal().tune(graph, weights, search, watch),
            Self::Cuda => cuda().tune(graph, weights, search, watch),
            Self::Sim => sim().tune(graph, weights, search, watch),
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
    /// Whichever will do when a model is loaded; the processor does at any rate.
    Any(Cpu),
}

/// The options that only the processor has, as far as they are given.
fn of_processor(args: &LoadArgs) -> Option<&'static str> {
    let LoadArgs { threads, precise, isa, .. } = *args;
    let given =
        [("--threads", threads.is_some()), ("--precise", precise), ("--isa", isa.is_some())];
    given.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
}

impl Machine {
    /// What the options of loading ask for; whoever asks for what the processor has alone wants it.
    ///
    /// # Errors
    /// When the processor lacks the instruction set, or an option is the processor's and a GPU is chosen.
    pub fn of(args: &LoadArgs) -> Result<Self> {
        let LoadArgs { device, threads, precise, isa, .. } = *args;
        let cpu = || Cpu::new(&CpuOptions { threads, precise, isa });
        match (device, of_processor(args)) {
            (Device::Cpu, _) | (Device::Auto, Some(_)) => Ok(Self::Cpu(cpu()?)),
            (Device::Auto, None) => Ok(Self::Any(cpu()?)),
            (_, Some(option)) => Err(usage(format!("{option} is for --device cpu"))),
            (_, None) => Ok(Self::Gpu(device)),
        }
    }

    /// The backends to try, the best first. Whether a GPU is there shows when they are made or asked for their memory.
    pub fn choice(&self) -> BackendChoice {
        match self {
            Self::Cpu(cpu) => custom(cpu.clone()),
            Self::Gpu(Device::Metal) => BackendChoice::Custom(Arc::new(|| Ok(Box::new(metal())))),
            Self::Gpu(Device::Cuda) => BackendChoice::Custom(Arc::new(|| Ok(Box::new(cuda())))),
            Self::Gpu(_) => BackendChoice::Custom(Arc::new(|| Ok(Box::new(sim())))),
            Self::Any(cpu) => BackendChoice::First(candidates(cpu)),
        }
    }

    /// What computes a model that was loaded by the backend of this name.
    pub fn settled(self, backend: &str) -> Self {
        match self {
            Self::Any(cpu) if backend == "cpu" => Self::Cpu(cpu),
            Self::Any(_) if backend == "metal" => Self::Gpu(Device::Metal),
            Self::Any(_) => Self::Gpu(Device::Cuda),
            settled => settled,
        }
    }

    /// Bytes that a model may take here unless told otherwise, of the place that has most, as far as that is known. A GPU
    /// is opened for it.
    pub fn budget(&self) -> Option<u64> {
        let free = |backend: Result<Box<dyn Backend>, BackendError>| {
            let memory = backend.ok()?.memory().ok()??;
            (!memory.unified).then_some(memory.free as u64)
        };
        let own = match self.choice() {
            BackendChoice::Custom(make) => free(make()),
            BackendChoice::First(all) => all.iter().filter_map(|(_, make)| free(make())).max(),
            _ => None,
        };
        match self {
            Self::Gpu(_) => own.or_else(machine::budget),
            _ => own.max(machine::budget()),
        }
    }

    /// Threads of the processor that a step runs on.
    pub fn threads(&self) -> usize {
        match self {
            Self::Cpu(cpu) => cpu.threads(),
            Self::Gpu(_) | Self::Any(_) => 0,
        }
    }

    /// The processor's instruction set.
    pub fn level(&self) -> String {
        match self {
            Self::Cpu(cpu) => cpu.level().to_string(),
            Self::Gpu(_) | Self::Any(_) => "none".into(),
        }
    }
}

fn custom(cpu: Cpu) -> BackendChoice {
    BackendChoice::Custom(Arc::new(move || Ok(Box::new(cpu.clone()))))
}

/// What `--device auto` tries: this system's GPUs, then the processor.
fn candidates(cpu: &Cpu) -> Vec<(&'static str, BackendFactory)> {
    let cpu = cpu.clone();
    let processor: BackendFactory = Arc::new(move || Ok(Box::new(cpu.clone())));
    let gpu: (_, BackendFactory) = match cfg!(target_os = "macos") {
        true => ("metal", Arc::new(|| Ok(Box::new(metal())))),
        false => ("cuda", Arc::new(|| Ok(Box::new(cuda_ready())))),
    };
    vec![gpu, ("cpu", processor)]
}

/// The GPU that `--device auto` would take for a model with room on it: its name, and bytes free and in all if it tells; or
/// why there is none.
pub fn gpu() -> Result<(&'static str, Option<DeviceMemory>), String> {
    let backend: Box<dyn Backend> = match cfg!(target_os = "macos") {
        true => Box::new(metal()),
        false => Box::new(cuda_ready()),
    };
    let memory = backend.memory().map_err(|error| error.to_string())?;
    Ok((backend.name(), memory))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_processor_has_chooses_it() {
        let auto = LoadArgs::default();
        assert!(matches!(Machine::of(&auto).unwrap(), Machine::Any(_)));
        let isa = Some(tessera_cpu::Level::Portable);
        for args in [
            LoadArgs { threads: Some(1), ..auto.clone() },
            LoadArgs { precise: true, ..auto.clone() },
            LoadArgs { isa, ..auto.clone() },
            LoadArgs { device: Device::Cpu, ..auto.clone() },
        ] {
            assert!(matches!(Machine::of(&args).unwrap(), Machine::Cpu(_)), "{args:?}");
        }
        let args = LoadArgs { device: Device::Cuda, precise: true, ..auto.clone() };
        assert!(Machine::of(&args).unwrap_err().to_string().contains("--precise"));
        let args = LoadArgs { device: Device::Sim, ..auto };
        assert!(matches!(Machine::of(&args).unwrap(), Machine::Gpu(Device::Sim)));
    }

    #[test]
    fn the_processor_comes_last() {
        let Machine::Any(cpu) = Machine::of(&LoadArgs::default()).unwrap() else { panic!() };
        let all = candidates(&cpu);
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        assert_eq!((names.len(), names[1]), (2, "cpu"));
        assert_eq!(all[1].1().unwrap().name(), "cpu");
        assert!(matches!(Machine::Any(cpu.clone()).settled("cpu"), Machine::Cpu(_)));
        assert!(matches!(Machine::Any(cpu).settled("cuda"), Machine::Gpu(Device::Cuda)));
    }
}
