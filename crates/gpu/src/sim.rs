//! The simulated device: every kernel runs in tile's simulator, at once.

use std::{ops::Range, sync::Arc};

use tessera_graph::DeviceMemory;
use tessera_tile::{
    Program,
    ir::Access,
    sim::{Binding, Checks, Counts, Kernel, Memory},
};

use crate::{
    device::{Bound, Device, DeviceError, Launch, Look, Map},
    tune::cost,
};

/// A device in this process's memory.
#[derive(Debug, Default)]
pub struct Sim {
    checks: Checks,
    counts: Counts,
    /// Bytes it has, if that is to have an end.
    total: Option<usize>,
    /// Bytes that were allocated. What is given back does not come back: it is for what happens while a model is loaded.
    taken: usize,
}

impl Sim {
    /// A device that checks this much.
    pub fn new(checks: Checks) -> Self {
        Self { checks, ..Self::default() }
    }

    /// The same with so many bytes of memory, each to be had once.
    pub fn with_memory(self, bytes: usize) -> Self {
        Self { total: Some(bytes), ..self }
    }

    fn free(&self) -> Option<usize> {
        self.total.map(|total| total.saturating_sub(self.taken))
    }

    fn launch(
        &self,
        kernel: &Kernel,
        buffers: &[Bound<'_, Memory>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<Counts, DeviceError> {
        let bindings: Vec<_> = buffers
            .iter()
            .map(|&Bound { buffer: memory, offset, bytes }| Binding { memory, offset, bytes })
            .collect();
        kernel
            .launch(grid, args, &bindings, self.checks)
            .map_err(|fault| DeviceError::Run(fault.to_string()))
    }
}

/// A list of commands; they have run already.
#[derive(Debug, Default)]
pub struct Done {
    downloads: Vec<u8>,
    /// What was touched since the last barrier: memory, first byte, end, whether it was written.
    touched: Vec<(usize, usize, usize, bool)>,
}

impl Done {
    /// Notes what a launch binds. Launches without a barrier between may run in any order, so none may touch what
    /// another writes.
    fn touch(&mut self, kernel: &Kernel, buffers: &[Bound<'_, Memory>]) -> Result<(), DeviceError> {
        let program = kernel.program();
        let mut own = Vec::with_capacity(buffers.len());
        for (bound, buffer) in buffers.iter().zip(&program.buffers) {
            let memory = std::ptr::from_ref(bound.buffer).addr();
            let (from, to) = (bound.offset, bound.offset + bound.bytes);
            let written = buffer.access != Access::Read;
            let conflict = self.touched.iter().any(|&(other, first, end, wrote)| {
                other == memory && first < to && from < end && (written || wrote)
            });
            if conflict {
                let (kernel, buffer) = (&program.name, buffer.name);
                let what = format!("{kernel}: no barrier between it and what touches its {buffer}");
                return Err(DeviceError::Run(what));
            }
            own.push((memory, from, to, written));
        }
        self.touched.append(&mut own);
        Ok(())
    }
}

/// Refuses to write to what is a file's.
fn own(memory: &Memory) -> Result<&Memory, DeviceError> {
    match memory.is_lent() {
        true => Err(DeviceError::Run("a write to a mapped file".into())),
        false => Ok(memory),
    }
}

impl Device for Sim {
    type Buffer = Memory;
    type Pipeline = Kernel;
    type Commands = Done;
    type Pending = Done;

    fn name(&self) -> &'static str {
        "sim"
    }

    fn identity(&self) -> String {
        format!("sim, cost model {}", cost::VERSION)
    }

    const EXACT: bool = true;

    /// What the [cost model](cost) says of the first launch; the others are the same to it.
    fn time(
        &mut self,
        kernel: &Kernel,
        launches: &[Launch<'_, Memory>],
        _: Look,
    ) -> Result<f64, DeviceError> {
        let Some(launch) = launches.first() else { return Ok(0.0) };
        let counts = self.launch(kernel, &launch.buffers, &launch.args, launch.grid)?;
        Ok(cost::TYPICAL.seconds(kernel.program(), &counts))
    }

    fn memory(&self) -> Result<Option<DeviceMemory>, DeviceError> {
        let tell = |(free, total)| DeviceMemory { free, total, unified: false };
        Ok(self.free().zip(self.total).map(tell))
    }

    fn allocate(&mut self, bytes: usize, what: &'static str) -> Result<Memory, DeviceError> {
        if self.free().is_some_and(|free| bytes > free) {
            return Err(DeviceError::Memory { bytes, what });
        }
        self.taken += bytes;
        Ok(match self.checks {
            Checks::Access => Memory::zeroed(bytes),
            Checks::All => Memory::undefined(bytes),
        })
    }

    const ADOPTS: bool = true;

    fn adopt(&mut self, map: &Map, range: Range<usize>) -> Option<(Memory, usize)> {
        Some((Memory::lent(Arc::new(map.clone()), range)?, 0))
    }

    fn write(&mut self, to: &mut Memory, offset: usize, bytes: &[u8]) -> Result<(), DeviceError> {
        own(to)?.write(offset, bytes);
        Ok(())
    }

    fn read(&self, from: &Memory, offset: usize, bytes: &mut [u8]) -> Result<(), DeviceError> {
        from.read(offset, bytes);
        Ok(())
    }

    fn copy(
        &mut self,
        from: (&Memory, usize),
        to: (&mut Memory, usize),
        bytes: usize,
    ) -> Result<(), DeviceError> {
        let mut moved = vec![0; bytes];
        from.0.read(from.1, &mut moved);
        own(to.0)?.write(to.1, &moved);
        Ok(())
    }

    fn build(&mut self, programs: &[Program]) -> Result<Vec<Kernel>, DeviceError> {
        Ok(programs.iter().cloned().map(Kernel::new).collect())
    }

    fn compiled(&self) -> u64 {
        0
    }

    fn begin(&mut self) -> Result<Done, DeviceError> {
        Ok(Done::default())
    }

    fn upload(
        &mut self,
        _: &mut Done,
        to: &mut Memory,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        own(to)?.write(offset, bytes);
        Ok(())
    }

    fn dispatch(
        &mut self,
        done: &mut Done,
        kernel: &Kernel,
        buffers: &[Bound<'_, Memory>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError> {
        done.touch(kernel, buffers)?;
        self.counts += self.launch(kernel, buffers, args, grid)?;
        Ok(())
    }

    fn barrier(&mut self, done: &mut Done) -> Result<(), DeviceError> {
        done.touched.clear();
        Ok(())
    }

    fn download(&mut self, done: &mut Done, from: Bound<'_, Memory>) -> Result<(), DeviceError> {
        // nothing that runs later writes what is read back
        let start = done.downloads.len();
        done.downloads.resize(start + from.bytes, 0);
        from.buffer.read(from.offset, &mut done.downloads[start..]);
        Ok(())
    }

    fn commit(&mut self, done: Done) -> Result<Done, DeviceError> {
        Ok(done)
    }

    fn wait(&mut self, done: Done, downloaded: &mut Vec<u8>) -> Result<(), DeviceError> {
        downloaded.clear();
        downloaded.extend_from_slice(&done.downloads);
        Ok(())
    }
}
