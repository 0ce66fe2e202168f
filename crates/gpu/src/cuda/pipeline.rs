//! Kernels that are ready, and what they ask of a launch.

use super::{
    Cuda, Memory, Text,
    driver::{Function, MOST_PARAMETERS, Module},
};
use crate::device::{Bound, DeviceError};

/// Static shared memory of a threadgroup, on every device.
const MOST_SHARED: usize = 48 << 10;

/// Largest grid along x, and along y and z.
const MOST_GRID: [u32; 3] = [i32::MAX as u32, 65_535, 65_535];

/// A kernel on the device.
#[derive(Debug)]
pub struct Pipeline {
    pub(super) function: Function,
    name: String,
    pub(super) threads: u32,
    buffers: usize,
    words: usize,
}

impl Pipeline {
    /// What a launch must have.
    pub(super) fn check(
        &self,
        buffers: &[Bound<'_, Memory>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError> {
        let name = &self.name;
        if buffers.len() != self.buffers || args.len() != self.words {
            return Err(DeviceError::Run(format!(
                "{name}: {} buffers and {} arguments; it takes {} and {}",
                buffers.len(),
                args.len(),
                self.buffers,
                self.words
            )));
        }
        if let Some(bound) = buffers.iter().find(|bound| !bound.offset.is_multiple_of(16)) {
            return Err(DeviceError::Run(format!(
                "{name}: a buffer from byte {}, not a multiple of 16",
                bound.offset
            )));
        }
        match grid.iter().zip(MOST_GRID).all(|(&n, most)| n <= most) {
            true => Ok(()),
            false => Err(DeviceError::Run(format!("{name}: a grid of {grid:?}"))),
        }
    }
}

impl Cuda {
    /// As [`Device::build`](crate::device::Device::build), of kernels that were printed before.
    pub fn build_texts(&mut self, kernels: &[Text]) -> Result<Vec<Pipeline>, DeviceError> {
        let refuse = |kernel: &Text, why| {
            let kernel = kernel.name.clone();
            Err(DeviceError::Build { kernel, why })
        };
        for kernel in kernels {
            if kernel.threads > self.most_threads {
                let why = format!("{} threads; there are {}", kernel.threads, self.most_threads);
                return refuse(kernel, why);
            }
            if kernel.shared > MOST_SHARED {
                let why = format!("{} bytes of {MOST_SHARED} shared", kernel.shared);
                return refuse(kernel, why);
            }
            if kernel.buffers + 1 > MOST_PARAMETERS {
                return refuse(kernel, format!("{} buffers", kernel.buffers));
            }
        }
        self.context().bind()?;
        let images = self.compiler.images(kernels)?;
        let mut pipelines = Vec::with_capacity(kernels.len());
        for (kernel, image) in kernels.iter().zip(images) {
            let loaded = Module::load(self.context(), &image)
                .and_then(|module| module.function(&kernel.name))
                .and_then(|function| Ok((function.most_threads()?, function)));
            let function = match loaded {
                Ok((most, function)) if kernel.threads <= most => function,
                Ok((most, _)) => {
                    let why = format!("{} threads, and registers for {most}", kernel.threads);
                    return refuse(kernel, why);
                }
                Err(error) => return refuse(kernel, error.to_string()),
            };
            self.modules.push(function.module().clone());
            pipelines.push(Pipeline {
                function,
                name: kernel.name.clone(),
                threads: kernel.threads,
                buffers: kernel.buffers,
                words: kernel.words,
            });
        }
        Ok(pipelines)
    }
}
