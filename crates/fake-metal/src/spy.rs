//! A device between the queue and Metal's: it tells the world what the device trait knows and Metal does not, and makes
//! mistakes on demand.

use std::{ops::Range, sync::Arc};

use tessera_tile::Program;

use crate::{
    MetalOptions, World,
    device::{Bound, Device, DeviceError, Map},
    metal::{Buffer, Commands, Metal, Pending, Pipeline},
    replay::Replays,
};

/// A mistake that a lowering or an executor could make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mistake {
    /// No barriers at all.
    NoBarriers,
    /// The barrier of this number is left out of every step.
    NoBarrier(usize),
    /// The last buffer of every dispatch begins this many bytes further on.
    Shifted(usize),
    /// The first two buffers of every dispatch are exchanged.
    Exchanged,
}

/// Metal's device, watched.
#[derive(Debug)]
pub struct Spy {
    metal: Metal,
    world: Arc<World>,
    mistake: Option<Mistake>,
    barriers: usize,
}

impl Spy {
    /// Opens Metal's device in the world of this thread, without an archive.
    pub fn open(mistake: Option<Mistake>) -> Result<Self, DeviceError> {
        Self::with(mistake, &MetalOptions::default())
    }

    /// The same with options.
    pub fn with(mistake: Option<Mistake>, options: &MetalOptions) -> Result<Self, DeviceError> {
        let (metal, world) = (Metal::open(None, None, options)?, World::current());
        Ok(Self { metal, world, mistake, barriers: 0 })
    }

    /// What became of its steps.
    pub fn replays(&self) -> Replays {
        self.metal.replays()
    }
}

impl Device for Spy {
    type Buffer = Buffer;
    type Pipeline = Pipeline;
    type Commands = Commands;
    type Pending = Pending;

    fn name(&self) -> &'static str {
        self.metal.name()
    }

    fn identity(&self) -> String {
        self.metal.identity()
    }

    fn allocate(&mut self, bytes: usize, what: &'static str) -> Result<Buffer, DeviceError> {
        self.metal.allocate(bytes, what)
    }

    const ADOPTS: bool = Metal::ADOPTS;

    fn longest(&self) -> usize {
        self.metal.longest()
    }

    fn adopt(&mut self, map: &Map, range: Range<usize>) -> Option<(Buffer, usize)> {
        self.metal.adopt(map, range)
    }

    fn write(&mut self, to: &mut Buffer, offset: usize, bytes: &[u8]) -> Result<(), DeviceError> {
        self.metal.write(to, offset, bytes)
    }

    fn read(&self, from: &Buffer, offset: usize, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.metal.read(from, offset, bytes)
    }

    fn copy(
        &mut self,
        from: (&Buffer, usize),
        to: (&mut Buffer, usize),
        bytes: usize,
    ) -> Result<(), DeviceError> {
        self.metal.copy(from, to, bytes)
    }

    fn build(&mut self, programs: &[Program]) -> Result<Vec<Pipeline>, DeviceError> {
        self.world.know(programs);
        self.metal.build(programs)
    }

    fn compiled(&self) -> u64 {
        self.metal.compiled()
    }

    fn begin(&mut self) -> Result<Commands, DeviceError> {
        self.world.unbound(0);
        self.barriers = 0;
        self.metal.begin()
    }

    fn upload(
        &mut self,
        commands: &mut Commands,
        to: &mut Buffer,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        self.metal.upload(commands, to, offset, bytes)
    }

    fn dispatch(
        &mut self,
        commands: &mut Commands,
        pipeline: &Pipeline,
        buffers: &[Bound<'_, Buffer>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError> {
        let mut buffers = buffers.to_vec();
        match self.mistake {
            Some(Mistake::Shifted(by)) => {
                if let Some(last) = buffers.last_mut() {
                    last.offset += by;
                }
            }
            Some(Mistake::Exchanged) => buffers.swap(0, 1),
            _ => {}
        }
        let told = self.world.told();
        if !grid.contains(&0) {
            self.world.bound(buffers.iter().map(|bound| bound.bytes).collect());
        }
        let done = self.metal.dispatch(commands, pipeline, &buffers, args, grid);
        if done.is_err() {
            self.world.unbound(told);
        }
        done
    }

    fn barrier(&mut self, commands: &mut Commands) -> Result<(), DeviceError> {
        let number = self.barriers;
        self.barriers += 1;
        match self.mistake {
            Some(Mistake::NoBarriers) => Ok(()),
            Some(Mistake::NoBarrier(left_out)) if left_out == number => Ok(()),
            _ => self.metal.barrier(commands),
        }
    }

    fn download(
        &mut self,
        commands: &mut Commands,
        from: Bound<'_, Buffer>,
    ) -> Result<(), DeviceError> {
        self.metal.download(commands, from)
    }

    fn commit(&mut self, commands: Commands) -> Result<Pending, DeviceError> {
        self.metal.commit(commands)
    }

    fn wait(&mut self, pending: Pending, downloaded: &mut Vec<u8>) -> Result<(), DeviceError> {
        self.metal.wait(pending, downloaded)
    }
}
