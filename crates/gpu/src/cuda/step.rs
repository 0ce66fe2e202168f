//! Steps: collected, started, awaited.

use std::{marker::PhantomData, sync::Arc};

use super::{
    Cuda, Memory, Pipeline,
    driver::{Function, MOST_PARAMETERS, Pinned, Stream},
};
use crate::{
    device::{Bound, DeviceError},
    replay::{Plan, Script},
};

/// Bytes that go to the device.
#[derive(Debug)]
struct Upload {
    /// Before which launch.
    before: usize,
    /// Where they lie in what is sent.
    offset: usize,
    bytes: usize,
    to: u64,
}

/// A step as it is collected.
#[derive(Debug, Default)]
pub(super) struct Step {
    script: Script<Function>,
    uploads: Vec<Upload>,
    /// Bytes to send so far.
    staged: usize,
    /// Address and bytes of what is read back.
    downloads: Vec<(u64, usize)>,
}

impl Step {
    fn clear(&mut self) {
        self.script.clear();
        self.uploads.clear();
        self.downloads.clear();
        self.staged = 0;
    }
}

/// A step that is being collected. It stays with the thread that began it, whose context is set. While there is any, no
/// memory is given back.
#[derive(Debug)]
pub struct Commands {
    step: Step,
    _open: Arc<()>,
    _thread: PhantomData<*const ()>,
}

/// A step that runs.
#[derive(Debug)]
pub struct Pending {
    /// Bytes that come back.
    fetched: usize,
}

impl Commands {
    /// Adds a launch.
    pub(super) fn launch(
        &mut self,
        pipeline: &Pipeline,
        buffers: &[Bound<'_, Memory>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError> {
        pipeline.check(buffers, args, grid)?;
        if grid.contains(&0) {
            return Ok(());
        }
        let mut addresses = [0; MOST_PARAMETERS];
        for (address, bound) in addresses.iter_mut().zip(buffers) {
            *address = bound.buffer.part(bound.offset, bound.bytes)?;
        }
        let (Pipeline { function, threads, .. }, addresses) =
            (pipeline, &addresses[..buffers.len()]);
        self.step.script.push(function, grid, *threads, addresses, args);
        Ok(())
    }

    /// Asks for bytes as they are at the end.
    pub(super) fn fetch(&mut self, from: Bound<'_, Memory>) -> Result<(), DeviceError> {
        let address = from.buffer.part(from.offset, from.bytes)?;
        self.step.downloads.push((address, from.bytes));
        Ok(())
    }
}

impl Cuda {
    /// Begins a step.
    pub(super) fn collect(&mut self) -> Result<Commands, DeviceError> {
        self.context().bind()?;
        self.settle()?;
        self.sweep()?;
        let step = self.spare.take().unwrap_or_default();
        Ok(Commands { step, _open: self.open.clone(), _thread: PhantomData })
    }

    /// Keeps bytes that go to an address when the step starts.
    pub(super) fn stage(
        &mut self,
        commands: &mut Commands,
        to: u64,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        self.settle()?;
        let step = &mut commands.step;
        let (from, end) = (step.staged, step.staged + bytes.len());
        if end > self.sent.get().len() {
            let mut larger = Pinned::new(self.context(), end.next_power_of_two())?;
            larger.get_mut()[..from].copy_from_slice(&self.sent.get()[..from]);
            self.sent = larger;
        }
        self.sent.get_mut()[from..end].copy_from_slice(bytes);
        let before = step.script.len();
        step.uploads.push(Upload { before, offset: from, bytes: bytes.len(), to });
        step.staged = end.next_multiple_of(64);
        Ok(())
    }

    /// Starts a step.
    pub(super) fn start(
        &mut self,
        Commands { mut step, .. }: Commands,
    ) -> Result<Pending, DeviceError> {
        self.settle()?;
        let fetched: usize = step.downloads.iter().map(|(_, bytes)| bytes).sum();
        if fetched > self.fetched.get().len() {
            self.fetched = Pinned::new(self.context(), fetched.next_power_of_two())?;
        }
        self.running = true;
        let mut ran = self.run(&step);
        let mut at = 0;
        for &(from, bytes) in &step.downloads {
            ran = ran.and_then(|()| self.stream.fetch(from, &mut self.fetched, at, bytes));
            at += bytes;
        }
        step.clear();
        self.spare = Some(step);
        ran.map(|()| Pending { fetched })
    }

    /// Waits for a step, and gives what it brought.
    pub(super) fn finish(
        &mut self,
        pending: &Pending,
        downloaded: &mut Vec<u8>,
    ) -> Result<(), DeviceError> {
        self.context().bind()?;
        self.settle()?;
        downloaded.clear();
        downloaded.extend_from_slice(&self.fetched.get()[..pending.fetched]);
        Ok(())
    }

    /// Puts a script's launches on the stream, and before each what is called for.
    fn launch(
        stream: &Stream,
        script: &Script<Function>,
        mut before: impl FnMut(usize) -> Result<(), DeviceError>,
    ) -> Result<(), DeviceError> {
        for (i, (launch, addresses, words)) in script.iter().enumerate() {
            before(i)?;
            // SAFETY: `dispatch` compared the numbers with the kernel's; memory is given back only while nothing is collected or
            // runs. That the kernel stays within its buffers is proved by running it in the simulator.
            unsafe {
                stream.launch(&launch.function, launch.grid, launch.threads, addresses, words)?
            };
        }
        Ok(())
    }

    fn send(&self, upload: &Upload) -> Result<(), DeviceError> {
        self.stream.send(&self.sent, upload.offset, upload.to, upload.bytes)
    }

    /// Runs what was collected.
    fn run(&mut self, step: &Step) -> Result<(), DeviceError> {
        let Step { script, uploads, .. } = step;
        let first = uploads.iter().all(|upload| upload.before == 0);
        // a graph of one launch saves nothing
        let plan = if first && script.len() > 1 { self.graphs.plan(script) } else { Plan::Plain };
        let place = match plan {
            Plan::Plain => {
                let mut rest = uploads.iter().peekable();
                Self::launch(&self.stream, script, |i| {
                    while let Some(upload) = rest.next_if(|upload| upload.before <= i) {
                        self.send(upload)?;
                    }
                    Ok(())
                })?;
                return rest.try_for_each(|upload| self.send(upload));
            }
            Plan::Capture => {
                let launches = || Self::launch(&self.stream, script, |_| Ok(()));
                let graph = self.stream.capture(launches)?;
                self.graphs.keep(script, graph)
            }
            Plan::Replay(place) => place,
        };
        uploads.iter().try_for_each(|upload| self.send(upload))?;
        // SAFETY: its launches are those of the script, to the address; for the rest as in `launch`.
        unsafe { self.stream.replay(self.graphs.graph(place)) }
    }

    /// Waits for a step that runs.
    fn settle(&mut self) -> Result<(), DeviceError> {
        match std::mem::take(&mut self.running) {
            true => self.stream.wait(),
            false => Ok(()),
        }
    }

    /// Gives memory back that nobody holds any more, if nothing that may use it is being collected or runs.
    pub(super) fn sweep(&mut self) -> Result<(), DeviceError> {
        if !self.running && Arc::strong_count(&self.open) == 1 && self.context().has_loose() {
            self.stream.wait()?;
            self.context().sweep();
        }
        Ok(())
    }
}
