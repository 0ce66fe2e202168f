//! NVIDIA's GPUs: the driver's interface, and kernels compiled for the very device.
//!
//! A step is collected and runs when it is committed: launch by launch the first time, captured as a graph the second
//! time, and as that graph whenever the same launches come again. One stream orders all, so that barriers need nothing.

mod cache;
mod compile;
mod driver;
pub mod nvrtc;
mod replay;

use std::{marker::PhantomData, path::PathBuf, sync::Arc};

use cudarc::driver::sys::CUdevice_attribute as Attribute;
use tessera_tile::{Program, ir::LANES};

pub use cache::Cache;
pub use compile::{Capability, Text, architecture};
pub use driver::{Event, Memory};
pub use replay::Replays;

use crate::device::{Bound, Device, DeviceError};
use compile::Compiler;
use driver::{Context, Function, MOST_PARAMETERS, Module, Pinned, Stream};
use replay::{Graphs, Plan, Script};

/// The oldest devices that run the kernels; matrix tiles of f32 need 8.0.
const OLDEST: Capability = (7, 0);

/// Static shared memory of a threadgroup, on every device.
const MOST_SHARED: usize = 48 << 10;

/// Bytes that the user's cache of kernels may take.
const MOST_CACHED: u64 = 256 << 20;

/// Largest grid along x, and along y and z.
const MOST_GRID: [u32; 3] = [i32::MAX as u32, 65_535, 65_535];

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
    /// needed. A program built where CUDA's compiler is can so bring its kernels along.
    pub ready: Vec<PathBuf>,
}

impl Default for Options {
    /// The first device, and the user's cache.
    fn default() -> Self {
        Self { ordinal: 0, nvrtc: None, cache: Cache::of_user(MOST_CACHED), ready: Vec::new() }
    }
}

/// A GPU.
#[derive(Debug)]
pub struct Cuda {
    // in this order they are dropped: what runs is awaited before its memory goes
    stream: Stream,
    graphs: Graphs,
    compiler: Compiler,
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

/// A kernel on the device.
#[derive(Debug)]
pub struct Pipeline {
    function: Function,
    name: String,
    threads: u32,
    buffers: usize,
    words: usize,
}

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
struct Step {
    script: Script,
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
        let Options { nvrtc, cache, ready, .. } = options;
        Ok(Self {
            stream: Stream::new(&context)?,
            graphs: Graphs::default(),
            compiler: Compiler::new(capability, nvrtc, ready, cache),
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

    /// As [`Device::build`], of kernels that were printed before.
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

    fn context(&self) -> &Arc<Context> {
        self.stream.context()
    }

    /// What a step must have before it can be launched.
    fn check(
        pipeline: &Pipeline,
        buffers: &[Bound<'_, Memory>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError> {
        let name = &pipeline.name;
        if buffers.len() != pipeline.buffers || args.len() != pipeline.words {
            return Err(DeviceError::Run(format!(
                "{name}: {} buffers and {} arguments; it takes {} and {}",
                buffers.len(),
                args.len(),
                pipeline.buffers,
                pipeline.words
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

    /// Puts a script's launches on the stream, and before each what is called for.
    fn launch(
        stream: &Stream,
        script: &Script,
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
    fn sweep(&mut self) {
        if !self.running && Arc::strong_count(&self.open) == 1 {
            self.context().sweep();
        }
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

    fn allocate(&mut self, bytes: usize, what: &'static str) -> Result<Memory, DeviceError> {
        self.context().bind()?;
        self.sweep();
        self.stream.allocate(bytes, what)
    }

    fn write(&mut self, to: &mut Memory, offset: usize, bytes: &[u8]) -> Result<(), DeviceError> {
        self.context().bind()?;
        self.stream.write(to, offset, bytes)
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
        self.stream.copy(from, (to.0, to.1), bytes)
    }

    fn build(&mut self, programs: &[Program]) -> Result<Vec<Pipeline>, DeviceError> {
        self.build_texts(&programs.iter().map(Text::from).collect::<Vec<_>>())
    }

    fn compiled(&self) -> u64 {
        self.compiler.compiled()
    }

    fn begin(&mut self) -> Result<Commands, DeviceError> {
        self.context().bind()?;
        self.settle()?;
        self.sweep();
        let step = self.spare.take().unwrap_or_default();
        Ok(Commands { step, _open: self.open.clone(), _thread: PhantomData })
    }

    fn upload(
        &mut self,
        commands: &mut Commands,
        to: &mut Memory,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        self.settle()?;
        let step = &mut commands.step;
        let to = to.part(offset, bytes.len())?;
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

    fn dispatch(
        &mut self,
        commands: &mut Commands,
        pipeline: &Pipeline,
        buffers: &[Bound<'_, Memory>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError> {
        Self::check(pipeline, buffers, args, grid)?;
        if grid.contains(&0) {
            return Ok(());
        }
        let mut addresses = [0; MOST_PARAMETERS];
        for (address, bound) in addresses.iter_mut().zip(buffers) {
            *address = bound.buffer.part(bound.offset, bound.bytes)?;
        }
        let Pipeline { function, threads, .. } = pipeline;
        commands.step.script.push(function, grid, *threads, &addresses[..buffers.len()], args);
        Ok(())
    }

    fn barrier(&mut self, _: &mut Commands) -> Result<(), DeviceError> {
        Ok(())
    }

    fn download(
        &mut self,
        commands: &mut Commands,
        from: Bound<'_, Memory>,
    ) -> Result<(), DeviceError> {
        let address = from.buffer.part(from.offset, from.bytes)?;
        commands.step.downloads.push((address, from.bytes));
        Ok(())
    }

    fn commit(&mut self, Commands { mut step, .. }: Commands) -> Result<Pending, DeviceError> {
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

    fn wait(&mut self, pending: Pending, downloaded: &mut Vec<u8>) -> Result<(), DeviceError> {
        self.context().bind()?;
        self.settle()?;
        downloaded.clear();
        downloaded.extend_from_slice(&self.fetched.get()[..pending.fetched]);
        Ok(())
    }
}
