//! Apple's GPUs, through Metal.
//!
//! A step is one command buffer with one compute encoder, whose dispatches run side by side between barriers; it is
//! committed once and awaited once. Memory is shared by the CPU and the GPU, so what is uploaded is in its place before
//! the step is committed, and what is downloaded is read where it lies.
//!
//! Kernels come as text ([`print::metal`](tessera_tile::print::metal)). Metal compiles a text in two stages. The first, to
//! Apple's intermediate code, was done beforehand for [`Embedded`] kernels; of others the system keeps the result in a
//! cache of its own. The second, to machine code, is most of the work; its result is kept on disk (`archive.rs`), so that
//! a model's second start does none of it.
//!
//! Needs a GPU of Apple's own, of the family 7 (M1) or newer, and macOS 13.
//!
//! Weights whose planes lie in a mapped file as kernels read them are not copied: pages of the file are buffers
//! (`buffer.rs`), which keep it mapped.
//!
//! All buffers are in a residency set of the queue's where the system has such (`residency.rs`). With
//! [`MetalOptions::indirect`] a step that comes again is one call of commands that were encoded once (`indirect.rs`), found by
//! the launches themselves ([`replay`](crate::replay)). A step that does not end is an error (`wait.rs`).
//!
//! Buffers are bound one by one, not through argument buffers (tables of addresses in memory): no kernel needs more than the
//! 31 places there are; what tables would save, messages to encoders, indirect commands save altogether, and their argument
//! structs lie in one buffer as it is; and kernels' parameters stay pointers that the compiler knows not to overlap, with
//! sizes that the fake of Metal can check.

mod archive;
mod buffer;
mod commands;
mod indirect;
mod library;
mod pipeline;
mod residency;
mod wait;

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_foundation::{
    NSError, NSFileManager, NSPageSize, NSProcessInfo, NSSearchPathDirectory,
    NSSearchPathDomainMask, NSString,
};
use objc2_metal::{MTLCommandQueue, MTLCreateSystemDefaultDevice, MTLDevice, MTLGPUFamily};
use tessera_tile::Program;

use crate::{
    MetalOptions,
    device::{Bound, Device, DeviceError, DeviceMemory, Map},
    replay::Replays,
};
use archive::Archive;
pub use buffer::Buffer;
pub use commands::{Commands, Pending};
use indirect::{Again, Indirect};
pub use library::Embedded;
use library::Libraries;
pub use pipeline::Pipeline;
use residency::Residency;
use wait::Ends;

// a program without windows has no default device unless it is linked to this
#[cfg_attr(target_vendor = "apple", link(name = "CoreGraphics", kind = "framework"))]
unsafe extern "C" {}

/// A GPU of this Mac.
pub struct Metal {
    device: Retained<ProtocolObject<dyn MTLDevice>>,
    queue: Retained<ProtocolObject<dyn MTLCommandQueue>>,
    residency: Arc<Residency>,
    ends: Ends,
    again: Again,
    indirect: bool,
    embedded: Option<Embedded>,
    cache: Option<PathBuf>,
    problems: Vec<String>,
    compiled: u64,
}

impl fmt::Debug for Metal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metal").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Metal {
    /// Opens the default GPU. Machine code is kept in the folder `cache`, which is made when something is put there.
    pub fn open(
        cache: Option<&Path>,
        embedded: Option<Embedded>,
        options: &MetalOptions,
    ) -> Result<Self, DeviceError> {
        autoreleasepool(|_| {
            let absent = |why: &str| DeviceError::Absent { device: "metal", why: why.into() };
            let device =
                MTLCreateSystemDefaultDevice().ok_or_else(|| absent("Metal finds none"))?;
            if !device.supportsFamily(MTLGPUFamily::Apple7) {
                let name = device.name();
                return Err(absent(&format!("{name} is older than Apple's GPUs of family 7 (M1)")));
            }
            let queue = device.newCommandQueue().ok_or_else(|| absent("it has no queue left"))?;
            let residency = Residency::new(&device, &queue)?;
            let ends = Ends::new(&device, options.patience)
                .ok_or_else(|| absent("it has no shared event left"))?;
            Ok(Self {
                device,
                queue,
                residency,
                ends,
                again: Again::default(),
                indirect: options.indirect,
                embedded,
                cache: cache.map(Path::to_path_buf),
                problems: Vec::new(),
                compiled: 0,
            })
        })
    }

    /// What kept embedded kernels from being used, or machine code from being found on disk or put there, when kernels
    /// were built last. All works without; only the start takes longer.
    pub fn problems(&self) -> &[String] {
        &self.problems
    }

    /// What became of the steps so far, with [`MetalOptions::indirect`].
    pub fn replays(&self) -> Replays {
        self.again.counts()
    }

    /// Encodes what was collected, if anything was: as indirect commands if it came before.
    fn encode(&mut self, commands: &Commands) -> Result<Option<Arc<Indirect>>, DeviceError> {
        let Some(collected) = commands.collected() else { return Ok(None) };
        let indirect = self.again.find(&self.device, &self.residency, collected)?;
        match &indirect {
            Some(indirect) => commands.execute(indirect, &self.residency),
            None => commands.encode(),
        }
        Ok(indirect)
    }

    fn build_all(&mut self, programs: &[Program]) -> Result<Vec<Pipeline>, DeviceError> {
        let (libraries, problem) = Libraries::new(&self.device, self.embedded, programs)?;
        self.problems = problem.into_iter().collect();
        // machine code for indirect commands is another
        let target =
            format!("{}{}", self.identity(), if self.indirect { ", indirect" } else { "" });
        let key = [library::text(programs), target];
        let mut archive = match &self.cache {
            None => None,
            Some(folder) => Archive::open(&self.device, folder, &key)
                .map_err(|problem| self.problems.push(problem))
                .ok(),
        };
        let mut pipelines = Vec::with_capacity(programs.len());
        for program in programs {
            let (pipeline, compiled) =
                Pipeline::new(&self.device, &libraries, program, archive.as_mut(), self.indirect)?;
            self.compiled += u64::from(compiled);
            pipelines.push(pipeline);
        }
        self.problems.extend(archive.and_then(|archive| archive.save().err()));
        for problem in &self.problems {
            tracing::warn!("loading takes longer than it need: {problem}");
        }
        Ok(pipelines)
    }
}

/// Where this user's caches are: `~/Library/Caches`, or an application's own folder within its sandbox.
pub fn user_cache() -> Option<PathBuf> {
    autoreleasepool(|_| {
        let files = NSFileManager::defaultManager();
        let folders = files.URLsForDirectory_inDomains(
            NSSearchPathDirectory::CachesDirectory,
            NSSearchPathDomainMask::UserDomainMask,
        );
        let folder = folders.firstObject()?.path()?.to_string();
        Some(Path::new(&folder).join("tessera/metal"))
    })
}

/// What an error of Apple's says, with its domain and number.
fn explain(error: &NSError) -> String {
    format!("{} ({} {})", error.localizedDescription(), error.domain(), error.code())
}

fn ns(text: &str) -> Retained<NSString> {
    NSString::from_str(text)
}

impl Device for Metal {
    type Buffer = Buffer;
    type Pipeline = Pipeline;
    type Commands = Commands;
    type Pending = Pending;

    fn name(&self) -> &'static str {
        "metal"
    }

    fn identity(&self) -> String {
        autoreleasepool(|_| {
            let system = NSProcessInfo::processInfo().operatingSystemVersionString();
            format!("{}, {system}", self.device.name())
        })
    }

    fn memory(&self) -> Result<Option<DeviceMemory>, DeviceError> {
        let total = self.device.recommendedMaxWorkingSetSize();
        let total = usize::try_from(total).unwrap_or(usize::MAX);
        let free = total.saturating_sub(self.device.currentAllocatedSize());
        // buffers are shared with the processor, whatever the GPU
        Ok(Some(DeviceMemory { free, total, unified: true }))
    }

    fn allocate(&mut self, bytes: usize, what: &'static str) -> Result<Buffer, DeviceError> {
        let made = Buffer::zeroed(&self.device, &self.residency, bytes);
        made.ok_or(DeviceError::Memory { bytes, what })
    }

    const ADOPTS: bool = true;

    fn longest(&self) -> usize {
        // pages of which only a part is wanted, at both ends
        self.device.maxBufferLength().saturating_sub(2 * NSPageSize())
    }

    fn adopt(&mut self, map: &Map, range: Range<usize>) -> Option<(Buffer, usize)> {
        Buffer::mapped(&self.device, &self.residency, map, range)
    }

    fn write(&mut self, to: &mut Buffer, offset: usize, bytes: &[u8]) -> Result<(), DeviceError> {
        to.write(offset, bytes)
    }

    fn read(&self, from: &Buffer, offset: usize, bytes: &mut [u8]) -> Result<(), DeviceError> {
        from.read(offset, bytes)
    }

    fn copy(
        &mut self,
        from: (&Buffer, usize),
        to: (&mut Buffer, usize),
        bytes: usize,
    ) -> Result<(), DeviceError> {
        to.0.copy(to.1, from.0, from.1, bytes)
    }

    fn build(&mut self, programs: &[Program]) -> Result<Vec<Pipeline>, DeviceError> {
        match programs {
            [] => Ok(Vec::new()),
            _ => autoreleasepool(|_| self.build_all(programs)),
        }
    }

    /// Kernels whose machine code was not found on disk.
    fn compiled(&self) -> u64 {
        self.compiled
    }

    fn begin(&mut self) -> Result<Commands, DeviceError> {
        self.ends.check()?;
        self.residency.settle();
        Commands::begin(&self.queue, self.indirect)
    }

    fn upload(
        &mut self,
        commands: &mut Commands,
        to: &mut Buffer,
        offset: usize,
        bytes: &[u8],
    ) -> Result<(), DeviceError> {
        commands.before_launches()?;
        to.write(offset, bytes)
    }

    fn dispatch(
        &mut self,
        commands: &mut Commands,
        pipeline: &Pipeline,
        buffers: &[Bound<'_, Buffer>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError> {
        commands.dispatch(pipeline, buffers, args, grid)
    }

    fn barrier(&mut self, commands: &mut Commands) -> Result<(), DeviceError> {
        commands.barrier();
        Ok(())
    }

    fn download(
        &mut self,
        commands: &mut Commands,
        from: Bound<'_, Buffer>,
    ) -> Result<(), DeviceError> {
        commands.download(from)
    }

    fn commit(&mut self, commands: Commands) -> Result<Pending, DeviceError> {
        let indirect = self.encode(&commands)?;
        Ok(commands.commit(&mut self.ends, indirect))
    }

    fn wait(&mut self, pending: Pending, downloaded: &mut Vec<u8>) -> Result<(), DeviceError> {
        pending.wait(downloaded)
    }
}
