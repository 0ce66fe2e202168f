//! From a choice to a backend, and what it has of memory.

use tessera_cpu::{Cpu, CpuOptions};
use tessera_graph::{Backend, BackendError, DeviceMemory, oracle::Oracle};

use crate::{BackendChoice, BackendFactory, CpuChoice, LoadError, LoadOptions, memory};

/// The share of available memory that a model may hold unless told otherwise.
const MEMORY_SHARE: f64 = 0.8;

/// The share of a device's own memory: nobody else needs much of it.
const DEVICE_SHARE: f64 = 0.9;

/// A backend that was left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PassedOver {
    /// Its name.
    pub backend: &'static str,
    /// Why it does not run the model.
    pub why: String,
}

/// Where a model is to run.
pub(crate) struct Place {
    pub(crate) backend: Box<dyn Backend>,
    /// Bytes that the model may hold there. Free memory comes and goes: what is decided from it is decided once.
    pub(crate) budget: usize,
    /// What was tried before.
    pub(crate) passed_over: Vec<PassedOver>,
}

/// The places that a choice leaves, one after the other.
pub(crate) struct Places<'a> {
    options: &'a LoadOptions,
    /// How many were tried.
    tried: usize,
    passed_over: Vec<PassedOver>,
}

impl<'a> Places<'a> {
    pub(crate) fn of(options: &'a LoadOptions) -> Self {
        Self { options, tried: 0, passed_over: Vec::new() }
    }

    /// The first that is there.
    pub(crate) fn first(&mut self) -> Result<Place, LoadError> {
        loop {
            self.tried += 1;
            match self.make() {
                Ok((backend, budget)) => {
                    return Ok(Place { backend, budget, passed_over: self.passed_over.clone() });
                }
                Err(error) => self.pass(error.into())?,
            }
        }
    }

    /// The place to try after the last one, which failed with `error`; the error, if it would be the same everywhere or
    /// nothing is left.
    pub(crate) fn after(&mut self, error: LoadError) -> Result<Place, LoadError> {
        self.pass(error)?;
        self.first()
    }

    /// Whether there are others.
    pub(crate) fn more(&self) -> bool {
        self.tried < self.several().len()
    }

    fn several(&self) -> &'a [(&'static str, BackendFactory)] {
        match &self.options.backend {
            BackendChoice::First(all) => all,
            _ => &[],
        }
    }

    fn pass(&mut self, error: LoadError) -> Result<(), LoadError> {
        if !self.more() || !of_place(&error) {
            return Err(error);
        }
        let (backend, why) = (self.several()[self.tried - 1].0, error.to_string());
        tracing::debug!("{backend} is passed over: {why}");
        self.passed_over.push(PassedOver { backend, why });
        Ok(())
    }

    fn make(&self) -> Result<(Box<dyn Backend>, usize), BackendError> {
        let backend: Box<dyn Backend> = match &self.options.backend {
            BackendChoice::Cpu(choice) => cpu(*choice)?,
            BackendChoice::Oracle => Box::new(Oracle),
            BackendChoice::Custom(factory) => factory()?,
            BackendChoice::First(all) => all[self.tried - 1].1()?,
        };
        let budget = budget(self.options.memory, backend.memory()?);
        Ok((backend, budget))
    }
}

/// Whether a model that fails so may run elsewhere.
fn of_place(error: &LoadError) -> bool {
    matches!(
        error,
        LoadError::Backend(_)
            | LoadError::TooLarge { .. }
            | LoadError::ContextMemory { .. }
            | LoadError::OverBudget(_)
    )
}

/// Bytes that a model may hold: what was asked for, of a device no more than it has free.
fn budget(asked: Option<usize>, device: Option<DeviceMemory>) -> usize {
    let share = |bytes: usize, share: f64| (bytes as f64 * share) as usize;
    match (asked, device) {
        (Some(asked), None) => asked,
        (Some(asked), Some(device)) => asked.min(device.free),
        (None, None) => share(memory::available(), MEMORY_SHARE),
        (None, Some(device)) if device.unified => {
            share(device.free.min(memory::available()), MEMORY_SHARE)
        }
        (None, Some(device)) => share(device.free, DEVICE_SHARE),
    }
}

fn cpu(choice: CpuChoice) -> Result<Box<dyn Backend>, BackendError> {
    let CpuChoice { threads, precise } = choice;
    let options = CpuOptions { threads, precise, ..CpuOptions::default() };
    Ok(Box::new(Cpu::new(&options)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_of_its_own_memory_sets_the_budget() {
        let device = |free, unified| Some(DeviceMemory { free, total: free, unified });
        assert_eq!(budget(Some(500), None), 500);
        assert_eq!(budget(Some(500), device(1000, false)), 500);
        assert_eq!(budget(Some(1500), device(1000, false)), 1000);
        assert_eq!(budget(None, device(1000, false)), 900);
        assert_eq!(budget(None, device(1000, true)), 800);
        // what the processor has not either
        assert!(budget(None, device(usize::MAX, true)) < usize::MAX / 2);
    }
}
