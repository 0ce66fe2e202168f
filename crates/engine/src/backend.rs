//! From a choice to a backend.

use tessera_cpu::{Cpu, CpuOptions};
use tessera_graph::{Backend, BackendError, oracle::Oracle};

use crate::{BackendChoice, CpuChoice};

/// Makes the backend that was chosen.
pub(crate) fn make(choice: &BackendChoice) -> Result<Box<dyn Backend>, BackendError> {
    match choice {
        BackendChoice::Cpu(choice) => cpu(*choice),
        BackendChoice::Oracle => Ok(Box::new(Oracle)),
        BackendChoice::Custom(factory) => factory(),
    }
}

fn cpu(choice: CpuChoice) -> Result<Box<dyn Backend>, BackendError> {
    let CpuChoice { threads, precise } = choice;
    let options = CpuOptions { threads, precise, ..CpuOptions::default() };
    Ok(Box::new(Cpu::new(&options)?))
}
