//! NVIDIA's GPUs: the driver's interface, and kernels compiled for the very device.
//!
//! A step is collected and runs when it is committed: launch by launch the first time, captured as a graph the second
//! time, and as that graph whenever the same launches come again. One stream orders all, so that barriers need nothing.

mod archive;
mod cache;
mod compile;
mod driver;
pub mod nvrtc;
mod pipeline;
mod step;
mod upload;

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use cudarc::driver::sys::CUdevice_attribute as Attribute;
use tessera_graph::DeviceMemory;
use tessera_tile::{Program, ir::LANES};

pub use archive::Archive;
pub use cache::{Cache, Digest};
pub use compile::{Capability, Text, architecture};
pub use driver::{Event, Memory};
pub use pipeline::Pipeline;
pub use step::{Commands, Pending};

pub use crate::replay::Replays;
use crate::{
    device::{Bound, Device, DeviceError, Launch, Look, in_turn, median},
    replay::Graphs,
};
use compile::Compiler;
use driver::{Context, Function, Graph, Module, Pinned, Stream};
use step::Step;
use upload::Uploads;

/// The oldest devices that run the kernels; matrix tiles of f32 need 8.0.
const OLDEST: Capability = (7, 0);

/// Bytes that the user's cache of kernels may take.
const MOST_CACHED: u64 = 256 << 20;

/// What may be chosen about a device.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which device, in the driver's order.
    pub ordinal: usize,
    /// NVRTC's library; `None`: where the system looks for libraries.
    pub nvrtc: Option<PathBuf>,
    /// Where compiled kernels are kept; `None`: nowhere.
    pub cache: Option<Cache>,
    /// Folders of kernels compiled beforehand, in the cache's form; with all of a model's kernels in them NVRTC is not
    /// needed.
    pub ready: Vec<PathBuf>,
    /// Kernels that the program brings along, an [`Archive`]'s bytes; they are looked up first.
    pub embedded: Option<Cow<'static, [u8]>>,
}

impl Default for Options {
    /// The first device, the user's cache, and the kernels that were embedded when the program was built.
    fn default() -> Self {
        Self {
            ordinal: 0,
            nvrtc: None,
            cache: Cache::of_user(MOST_CACHED),
            ready: Vec::new(),
            embedded: Archive::OWN.map(Cow::Borrowed),
        }
    }
}

/// A GPU.
#[derive(Debug)]
pub struct Cuda {
    // in this order they are dropped: what runs is awaited before its memory goes
    stream: Stream,
    graphs: Graphs<Graph, Function>,
    compiler: Compiler,
    uploads: Uploads,
    /// What steps send, and what they read back.
    sent: Pinned,
    fetched: Pinned,
    /// Whether something was committed and not awaited.
    running: bool,
    /// Of the last step, emptied, for the next.
    spare: Option<Step>,
    /// Kernels stay until the device goes, as something may still run them.
    modules: Vec<Arc<Module>>,
    /// Held by all commands that were begun and not committed, too.
    open: Arc<()>,
    name: String,
    capability: Capability,
    most_threads: u32,
}

impl Cuda {
    /// Opens a device.
    ///
    /// # Errors
    /// [`DeviceError::Absent`] where there is no driver, no such device, or one that is too old.
    pub fn open(options: Options) -> Result<Self, DeviceError> {
        let context = Context::open(options.ordinal)?;
        let of = |attribute| context.attribute(attribute);
        let capability = (
            of(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            of(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        let name = context.name()?;
        if capability < OLDEST || of(Attribute::CU_DEVICE_ATTRIBUTE_WARP_SIZE)? != LANES {
            return Err(DeviceError::Absent {
                device: "cuda",
                why: format!(
                    "{name} has compute capability {}.{}; {}.{} or later is needed; use the cpu backend",
                    capability.0, capability.1, OLDEST.0, OLDEST.1
                ),
            });
        }
        Ok(Self {
            stream: Stream::new(&context)?,
            graphs: Graphs::default(),
            uploads: Uploads::default(),
            compiler: Compiler::new(capability, options),
            sent: Pinned::new(&context, 1 << 16)?,
            fetched: Pinned::new(&context, 1 << 12)?,
            running: false,
            spare: None,
            modules: Vec::new(),
            open: Arc::new(()),
            name,
            capability,
            most_threads: of(Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
        })
    }

    /// Whether kernels can be had: compiled, or some that the program brings along.
    ///
    /// # Errors
    /// [`DeviceError::Absent`], with what is missing.
    pub fn ready(&self) -> Result<(), DeviceError> {
        self.compiler.ready()
    }

    /// What the device is called.
    pub fn device_name(&self) -> &str {
        &self.name
    }

    /// Its compute capability.
    pub fn capability(&self) -> Capability {
        self.capability
    }

    /// What became of the steps so far.
    pub fn replays(&self) -> Replays {
        self.graphs.counts()
    }

    /// Marks this moment of the device's work, to measure time.
    pub fn mark(&self) -> Result<Event, DeviceError> {
        self.context().bind()?;
        self.stream.mark()
    }

    fn context(&self) -> &Arc<Context> {
        self.stream.context()
    }
}

impl Device for Cuda {
    type Buffer = Memory;
    type Pipeline = Pipeline;
    type Commands = Commands;
    type Pending = Pending;

    fn name(&self) -> &'static str {
        "cuda"
    }

    fn identity(&self) -> String {
        let ((major, minor), driver) = (self.capability, self.context().driver());
        let (version, part) = (driver / 1000, driver % 1000 / 10);
        format!("{}, sm_{major}{minor}, CUDA {version}.{part}", self.name)
    }

    /// By the device's own clock.
    fn time(
        &mut self,
        kernel: &Pipeline,
        launches: &[Launch<'_, Memory>],
        look: Look,
    ) -> Result<f64, DeviceError> {
        let pass = || {
            let commands = in_turn(self, kernel, launches)?;
            let begun = self.mark()?;
            let pending = self.start(commands)?;
            let ended = self.mark()?;
            self.finish(&pending, &mut Vec::new())?;
            Ok(f64::from(ended.since(&begun)?) / 1e3)
        };
        Ok(median(look, pass)? / launches.len().max(1) as f64)
    }

    fn memory(&self) -> Result<Option<DeviceMemory>, DeviceError> {
        self.context().bind()?;
        self.context().memory().map(Some)
    }

    fn allocate(&mut self, bytes: usize, what: &'static str) -> Result<Memory, DeviceError> {
        self.context().bind()?;
        self.sweep()?;
        self.stream.allocate(bytes, what)
    }

    fn write(&mut self, to: &mut Memory, offset: usize, bytes: &[u8]) -> Result<(), DeviceError> {
        self.context().bind()?;
        self.uploads.write(&self.stream, to, offset, bytes)
    }

    fn read(&self, from: &Memory, offset: usize, bytes: &mut [u8]) -> Result<(), DeviceError> {
        self.context().bind()?;
        self.stream.read(from, offset, bytes)
    }

    fn copy(
        &mut self,
        from: (&Memory, usize),
        to: (&mut Memory, usize),
        bytes: usize,
    ) -> Result<(), DeviceError> {
        self.context().bind()?;
        self.stream.copy(from, (to.0, to.1), bytes)?;
        self.stream.wait()
    }

    fn build(&mut self, programs: &[Program]) -> Result<Vec<Pipeline>, DeviceError> {
        self.build_texts(&programs.iter().map(Text::from).collect::<Vec<_>>())
    }

    fn build_each(&mut self, programs: &[Program]) -> Vec<Result<Pipeline, DeviceError>> {
        self.try_texts(&programs.iter().map(Text::from).collect::<Vec<_>>())
    }

    fn compiled(&self) -> u64 {
        self.compiler.compiled()
    }

    fn begin(&mut self) -> Result<Commands, DeviceError> {
        self.collect()
    }

    fn upload(
        &mut self,
        commands: &mut Commands,
        to: &mut Memory,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        self.stage(commands, to.part(offset, bytes.len())?, bytes)
    }

    fn dispatch(
        &mut self,
        commands: &mut Commands,
        pipeline: &Pipeline,
        buffers: &[Bound<'_, Memory>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError> {
        commands.launch(pipeline, buffers, args, grid)
    }

    fn barrier(&mut self, _: &mut Commands) -> Result<(), DeviceError> {
        Ok(())
    }

    fn download(
        &mut self,
        commands: &mut Commands,
        from: Bound<'_, Memory>,
    ) -> Result<(), DeviceError> {
        commands.fetch(from)
    }

    fn commit(&mut self, commands: Commands) -> Result<Pending, DeviceError> {
        self.start(commands)
    }

    fn wait(&mut self, pending: Pending, downloaded: &mut Vec<u8>) -> Result<(), DeviceError> {
        self.finish(&pending, downloaded)
    }
}
