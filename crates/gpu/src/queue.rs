//! The one way to a device's commands. A command buffer's states are types: what is written is committed once, what is
//! committed is awaited once; and everything is counted.

use tessera_tile::Program;

use crate::device::{Bound, Device, DeviceError, Launch, Look};

/// What happened since the device was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Lists of commands handed to the device.
    pub commits: u64,
    /// Waits for one.
    pub waits: u64,
    /// Kernels launched.
    pub launches: u64,
    /// Barriers between them.
    pub barriers: u64,
    /// Bytes sent in steps.
    pub uploaded: u64,
    /// Bytes read back in steps.
    pub downloaded: u64,
    /// Kernels compiled from source.
    pub compiled: u64,
}

/// A device and its counters.
#[derive(Debug)]
pub struct Queue<D> {
    device: D,
    counters: Counters,
}

impl<D: Device> Queue<D> {
    /// Of a device.
    pub fn new(device: D) -> Self {
        Self { device, counters: Counters::default() }
    }

    /// What happened so far.
    pub fn counters(&self) -> Counters {
        Counters { compiled: self.device.compiled(), ..self.counters }
    }

    /// The device, for what is outside of steps.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// The device, to look at its memory.
    pub fn peek(&self) -> &D {
        &self.device
    }

    /// Builds kernels.
    pub fn build(&mut self, programs: &[Program]) -> Result<Vec<D::Pipeline>, DeviceError> {
        self.device.build(programs)
    }

    /// Builds kernels of which some may be more than the device has.
    pub fn build_each(&mut self, programs: &[Program]) -> Vec<Result<D::Pipeline, DeviceError>> {
        self.device.build_each(programs)
    }

    /// Measures a kernel; see [`Device::time`]. It is no step, and is not counted.
    pub fn time(
        &mut self,
        kernel: &D::Pipeline,
        launches: &[Launch<'_, D::Buffer>],
        look: Look,
    ) -> Result<f64, DeviceError> {
        self.device.time(kernel, launches, look)
    }

    /// Begins a step.
    pub fn record(&mut self) -> Result<Recording<'_, D>, DeviceError> {
        let commands = self.device.begin()?;
        Ok(Recording { queue: self, commands })
    }
}

/// Commands that are being written.
pub struct Recording<'a, D: Device> {
    queue: &'a mut Queue<D>,
    commands: D::Commands,
}

impl<'a, D: Device> Recording<'a, D> {
    /// Copies bytes to the device, before the first launch.
    pub fn upload(
        &mut self,
        to: &mut D::Buffer,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        self.queue.counters.uploaded += bytes.len() as u64;
        self.queue.device.upload(&mut self.commands, to, offset, bytes)
    }

    /// Launches a kernel.
    pub fn dispatch(
        &mut self,
        pipeline: &D::Pipeline,
        buffers: &[Bound<'_, D::Buffer>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError> {
        self.queue.counters.launches += 1;
        self.queue.device.dispatch(&mut self.commands, pipeline, buffers, args, grid)
    }

    /// What follows sees what went before.
    pub fn barrier(&mut self) -> Result<(), DeviceError> {
        self.queue.counters.barriers += 1;
        self.queue.device.barrier(&mut self.commands)
    }

    /// Reads bytes back at the end.
    pub fn download(&mut self, from: Bound<'_, D::Buffer>) -> Result<(), DeviceError> {
        self.queue.counters.downloaded += from.bytes as u64;
        self.queue.device.download(&mut self.commands, from)
    }

    /// Hands the commands to the device.
    pub fn commit(self) -> Result<Committed<'a, D>, DeviceError> {
        self.queue.counters.commits += 1;
        let pending = self.queue.device.commit(self.commands)?;
        Ok(Committed { queue: self.queue, pending })
    }
}

/// Commands that run.
pub struct Committed<'a, D: Device> {
    queue: &'a mut Queue<D>,
    pending: D::Pending,
}

impl<D: Device> Committed<'_, D> {
    /// Waits for their end; `downloaded` receives what was asked for.
    pub fn wait(self, downloaded: &mut Vec<u8>) -> Result<(), DeviceError> {
        self.queue.counters.waits += 1;
        self.queue.device.wait(self.pending, downloaded)
    }
}
