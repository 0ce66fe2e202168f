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
        self.try_texts(kernels).into_iter().collect()
    }

    /// Builds each kernel by itself, compiling several at once; why there is none where that fails.
    pub fn try_texts(&mut self, kernels: &[Text]) -> Vec<Result<Pipeline, DeviceError>> {
        if let Err(error) = self.context().bind() {
            return kernels.iter().map(|_| Err(error.clone())).collect();
        }
        let refused: Vec<_> = kernels.iter().map(|kernel| self.refuses(kernel)).collect();
        let sound: Vec<Text> = kernels
            .iter()
            .zip(&refused)
            .filter(|(_, why)| why.is_none())
            .map(|(kernel, _)| kernel.clone())
            .collect();
        let mut images = self.compiler.each(&sound).into_iter();
        let each = kernels.iter().zip(refused).map(|(kernel, why)| {
            let image = match why {
                Some(why) => return Err(DeviceError::Build { kernel: kernel.name.clone(), why }),
                None => images.next(),
            };
            let missing = || Err(DeviceError::Run(format!("{}: no image", kernel.name)));
            self.load(kernel, &image.unwrap_or_else(missing)?)
        });
        each.collect()
    }

    /// Why the device cannot run a kernel, whatever the compiler makes of it.
    fn refuses(&self, kernel: &Text) -> Option<String> {
        if kernel.threads > self.most_threads {
            return Some(format!("{} threads; there are {}", kernel.threads, self.most_threads));
        }
        if kernel.shared > MOST_SHARED {
            return Some(format!("{} bytes of {MOST_SHARED} shared", kernel.shared));
        }
        (kernel.buffers + 1 > MOST_PARAMETERS).then(|| format!("{} buffers", kernel.buffers))
    }

    /// Loads an image.
    fn load(&mut self, kernel: &Text, image: &[u8]) -> Result<Pipeline, DeviceError> {
        let refuse = |why| Err(DeviceError::Build { kernel: kernel.name.clone(), why });
        let loaded = Module::load(self.context(), image)
            .and_then(|module| module.function(&kernel.name))
            .and_then(|function| Ok((function.most_threads()?, function)));
        let function = match loaded {
            Ok((most, function)) if kernel.threads <= most => function,
            Ok((most, _)) => {
                return refuse(format!("{} threads, and registers for {most}", kernel.threads));
            }
            Err(error) => return refuse(error.to_string()),
        };
        self.modules.push(function.module().clone());
        Ok(Pipeline {
            function,
            name: kernel.name.clone(),
            threads: kernel.threads,
            buffers: kernel.buffers,
            words: kernel.words,
        })
    }
}
