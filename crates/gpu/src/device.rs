//! What a device must do: hold memory, build kernels, run a list of launches. All else is in this crate once.

use std::{fmt::Debug, ops::Range, time::Instant};

pub use tessera_formats::Map;
pub use tessera_graph::DeviceMemory;
use tessera_tile::Program;

/// Why a device refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No such device here, or one that is too old.
    #[error("no {device} device: {why}")]
    Absent {
        /// Kind of device.
        device: &'static str,
        /// Why not.
        why: String,
    },
    /// The device gave no memory.
    #[error("out of device memory: {bytes} bytes for {what}")]
    Memory {
        /// Bytes asked for.
        bytes: usize,
        /// For what.
        what: &'static str,
    },
    /// A kernel that the device's compiler refused.
    #[error("kernel {kernel}: {why}")]
    Build {
        /// Its name.
        kernel: String,
        /// What the compiler said.
        why: String,
    },
    /// A step that did not end. The device does nothing more: whatever the step uses may still be in use.
    #[error("the device has not ended a step within {seconds} s; the model has to be loaded again")]
    Hung {
        /// How long was waited.
        seconds: u64,
    },
    /// A step that failed on the device.
    #[error("the device stopped: {0}")]
    Run(String),
}

/// A part of a device's buffer, bound to a kernel.
#[derive(Debug)]
pub struct Bound<'a, B> {
    /// The buffer.
    pub buffer: &'a B,
    /// First byte, a multiple of 16.
    pub offset: usize,
    /// Bytes.
    pub bytes: usize,
}

impl<B> Clone for Bound<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B> Copy for Bound<'_, B> {}

/// How closely a kernel's time is looked at: passes to warm up and passes that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// One pass counts.
    Short,
    /// The median of seven.
    Long,
}

impl Look {
    /// Caches are filled, and graphs captured, in the first ones.
    const fn passes(self) -> (usize, usize) {
        match self {
            Self::Short => (2, 1),
            Self::Long => (3, 7),
        }
    }
}

/// A launch of a kernel whose time is asked for.
#[derive(Debug)]
pub struct Launch<'a, B> {
    /// What is bound.
    pub buffers: Vec<Bound<'a, B>>,
    /// Words of the argument struct.
    pub args: Vec<u32>,
    /// Threadgroups.
    pub grid: [u32; 3],
}

/// A device. Only [`Queue`](crate::queue::Queue) and [`Device::time`] call the functions that make, commit and await commands.
pub trait Device: Sized + Send + 'static {
    /// Memory on the device.
    type Buffer: Send + Debug;
    /// A kernel ready to be launched.
    type Pipeline: Send + Debug;
    /// Commands that are being written.
    type Commands;
    /// Commands that run.
    type Pending;

    /// Short name: `sim`, `metal`, `cuda`.
    fn name(&self) -> &'static str;

    /// What kernels' times depend on: the device's model, and the version of what drives it.
    fn identity(&self) -> String {
        self.name().to_owned()
    }

    /// What it has of memory; `None` where that has no end that it knows of.
    fn memory(&self) -> Result<Option<DeviceMemory>, DeviceError> {
        Ok(None)
    }

    /// Makes memory, all zeros.
    fn allocate(&mut self, bytes: usize, what: &'static str) -> Result<Self::Buffer, DeviceError>;

    /// Whether it can read weights where they lie in mapped files.
    const ADOPTS: bool = false;

    /// Bytes of a buffer that is adopted, at most.
    fn longest(&self) -> usize {
        usize::MAX
    }

    /// Makes a range of a mapped file a buffer without copying it; the file stays mapped as long as the buffer is. Gives the
    /// buffer and the first byte of the range in it, which lies at a multiple of 16 if it does in the host's memory. The
    /// buffer may only be read. `None` if it cannot be.
    fn adopt(&mut self, _map: &Map, _range: Range<usize>) -> Option<(Self::Buffer, usize)> {
        None
    }

    /// Fills memory outside of a step.
    fn write(
        &mut self,
        buffer: &mut Self::Buffer,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError>;

    /// Reads memory outside of a step.
    fn read(
        &self,
        buffer: &Self::Buffer,
        offset: usize,
        bytes: &mut [u8],
    ) -> Result<(), DeviceError>;

    /// Copies memory outside of a step.
    fn copy(
        &mut self,
        from: (&Self::Buffer, usize),
        to: (&mut Self::Buffer, usize),
        bytes: usize,
    ) -> Result<(), DeviceError>;

    /// Builds kernels; the only place where a device may compile.
    fn build(&mut self, programs: &[Program]) -> Result<Vec<Self::Pipeline>, DeviceError>;

    /// Builds kernels of which some may be more than the device has: each, or why there is none.
    fn build_each(&mut self, programs: &[Program]) -> Vec<Result<Self::Pipeline, DeviceError>> {
        // together, as devices are faster so, or else one by one, to know which it is that fails
        if let Ok(kernels) = self.build(programs) {
            return kernels.into_iter().map(Ok).collect();
        }
        let alone = |program: &Program| {
            let missing = || DeviceError::Run(format!("{}: nothing was built", program.name));
            self.build(std::slice::from_ref(program))?.into_iter().next().ok_or_else(missing)
        };
        programs.iter().map(alone).collect()
    }

    /// How many kernels were compiled from source since the device was made.
    fn compiled(&self) -> u64;

    /// Begins a list of commands.
    fn begin(&mut self) -> Result<Self::Commands, DeviceError>;

    /// Copies bytes to the device. All uploads come before the first launch: where memory is shared they are at once in
    /// their place.
    fn upload(
        &mut self,
        commands: &mut Self::Commands,
        to: &mut Self::Buffer,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError>;

    /// Launches a kernel; it may run beside its neighbours unless there is a barrier between.
    fn dispatch(
        &mut self,
        commands: &mut Self::Commands,
        pipeline: &Self::Pipeline,
        buffers: &[Bound<'_, Self::Buffer>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError>;

    /// What follows sees what went before.
    fn barrier(&mut self, commands: &mut Self::Commands) -> Result<(), DeviceError>;

    /// Makes bytes of a buffer, as they are at the end, known to the host.
    fn download(
        &mut self,
        commands: &mut Self::Commands,
        from: Bound<'_, Self::Buffer>,
    ) -> Result<(), DeviceError>;

    /// Hands the commands to the device.
    fn commit(&mut self, commands: Self::Commands) -> Result<Self::Pending, DeviceError>;

    /// Waits for them; `downloaded` receives what was asked for, one part after the other.
    fn wait(&mut self, pending: Self::Pending, downloaded: &mut Vec<u8>)
    -> Result<(), DeviceError>;

    /// Whether [`Device::time`] gives the same each time, however long the look.
    const EXACT: bool = false;

    /// Seconds that a launch of a kernel takes, one after the other: the mean over `launches`, which differ in what they bind;
    /// of several such passes the median. As far as a device does not know better, it is the time from handing the
    /// commands over to the end of the wait.
    fn time(
        &mut self,
        kernel: &Self::Pipeline,
        launches: &[Launch<'_, Self::Buffer>],
        look: Look,
    ) -> Result<f64, DeviceError> {
        let pass = || {
            let commands = in_turn(self, kernel, launches)?;
            let begun = Instant::now();
            let pending = self.commit(commands)?;
            self.wait(pending, &mut Vec::new())?;
            Ok(begun.elapsed().as_secs_f64())
        };
        Ok(median(look, pass)? / launches.len().max(1) as f64)
    }
}

/// Commands that launch a kernel again and again.
pub(crate) fn in_turn<D: Device>(
    device: &mut D,
    kernel: &D::Pipeline,
    launches: &[Launch<'_, D::Buffer>],
) -> Result<D::Commands, DeviceError> {
    let mut commands = device.begin()?;
    for Launch { buffers, args, grid } in launches {
        device.dispatch(&mut commands, kernel, buffers, args, *grid)?;
        device.barrier(&mut commands)?;
    }
    Ok(commands)
}

/// The median of what passes take, once warm.
pub(crate) fn median(
    look: Look,
    mut pass: impl FnMut() -> Result<f64, DeviceError>,
) -> Result<f64, DeviceError> {
    let (warm, counted) = look.passes();
    for _ in 0..warm {
        pass()?;
    }
    let mut times = (0..counted).map(|_| pass()).collect::<Result<Vec<_>, _>>()?;
    times.sort_by(f64::total_cmp);
    Ok(times[counted / 2])
}
