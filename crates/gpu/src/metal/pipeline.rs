//! Kernels ready to be launched, made when a model is loaded.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use objc2::{rc::Retained, runtime::ProtocolObject};
use objc2_foundation::NSError;
use objc2_metal::{
    MTLComputePipelineDescriptor, MTLComputePipelineState, MTLDevice, MTLPipelineOption,
};
use tessera_tile::{
    Program,
    ir::{Access, LANES},
};

use super::{Archive, explain, library::Libraries, ns};
use crate::device::DeviceError;

/// Buffers that Metal binds at most, the argument struct among them.
pub(super) const MOST_BUFFERS: usize = 31;

/// Bytes of an argument struct at most (`setBytes`).
const MOST_ARGUMENT_BYTES: usize = 4096;

type State = Retained<ProtocolObject<dyn MTLComputePipelineState>>;

/// A kernel.
#[derive(Clone)]
pub struct Pipeline(Arc<Inner>);

struct Inner {
    state: State,
    name: String,
    threads: usize,
    /// Of each buffer, whether it is written.
    buffers: Vec<bool>,
    args: usize,
    /// Which pipeline it is, of all that ever were.
    number: u64,
}

// SAFETY: a pipeline does not change, and may be used and released on any thread
unsafe impl Send for Inner {}
// SAFETY: as above
unsafe impl Sync for Inner {}

impl fmt::Debug for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline").field("name", &self.0.name).finish_non_exhaustive()
    }
}

impl Pipeline {
    /// Makes one, out of the archive if it is there, for `indirect` commands too; and whether it had to be compiled.
    pub(super) fn new(
        device: &ProtocolObject<dyn MTLDevice>,
        libraries: &Libraries,
        program: &Program,
        archive: Option<&mut Archive>,
        indirect: bool,
    ) -> Result<(Self, bool), DeviceError> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let name = program.name.clone();
        let refuse = |why: String| DeviceError::Build { kernel: name.clone(), why };
        let (buffers, args) = (program.buffers.len(), program.fields.len());
        let bound = buffers + usize::from(args > 0);
        if bound > MOST_BUFFERS || args * 4 > MOST_ARGUMENT_BYTES {
            return Err(refuse(format!("{bound} buffers and {args} arguments are too many")));
        }
        let function = libraries
            .function(program)
            .ok_or_else(|| refuse("it is not in the compiled library".into()))?;
        let threads = program.threads as usize;
        let descriptor = MTLComputePipelineDescriptor::new();
        descriptor.setLabel(Some(&ns(&name)));
        descriptor.setComputeFunction(Some(&function));
        descriptor.setMaxTotalThreadsPerThreadgroup(threads);
        descriptor.setSupportIndirectCommandBuffers(indirect);
        // SAFETY: a promise about the launches, which all have `threads` threads, a multiple of the lanes
        unsafe {
            let whole = program.threads.is_multiple_of(LANES);
            descriptor.setThreadGroupSizeIsMultipleOfThreadExecutionWidth(whole);
        }
        let (state, compiled) =
            make(device, &descriptor, archive).map_err(|error| refuse(explain(&error)))?;
        let (lanes, most) = (state.threadExecutionWidth(), state.maxTotalThreadsPerThreadgroup());
        if lanes != LANES as usize || threads > most {
            let is = format!("simdgroups of {lanes} and threadgroups of {most} at most");
            return Err(refuse(format!("{is}, it needs {LANES} and {threads}")));
        }
        let (shared, most) =
            (state.staticThreadgroupMemoryLength(), device.maxThreadgroupMemoryLength());
        if shared > most {
            return Err(refuse(format!("{shared} bytes of threadgroup memory, of {most}")));
        }
        let buffers = program.buffers.iter().map(|buffer| buffer.access != Access::Read).collect();
        let number = MADE.fetch_add(1, Relaxed);
        Ok((Self(Arc::new(Inner { state, name, threads, buffers, args, number })), compiled))
    }

    pub(super) fn state(&self) -> &ProtocolObject<dyn MTLComputePipelineState> {
        &self.0.state
    }

    pub(super) fn name(&self) -> &str {
        &self.0.name
    }

    pub(super) fn threads(&self) -> usize {
        self.0.threads
    }

    /// A number that no other pipeline has.
    pub(super) fn number(&self) -> u64 {
        self.0.number
    }

    /// Whether it writes to the buffer of this place.
    pub(super) fn writes(&self, place: usize) -> bool {
        self.0.buffers.get(place).is_some_and(|&writes| writes)
    }

    /// Refuses a launch with other parts than the kernel has.
    pub(super) fn check(&self, buffers: usize, args: usize) -> Result<(), DeviceError> {
        let Inner { name, buffers: own, args: words, .. } = &*self.0;
        let own = own.len();
        if (buffers, args) == (own, *words) {
            return Ok(());
        }
        let given = format!("{buffers} buffers and {args} arguments");
        Err(DeviceError::Run(format!("{name}: {given}, it has {own} and {words}")))
    }
}

fn make(
    device: &ProtocolObject<dyn MTLDevice>,
    descriptor: &MTLComputePipelineDescriptor,
    archive: Option<&mut Archive>,
) -> Result<(State, bool), Retained<NSError>> {
    let with = |options| {
        device.newComputePipelineStateWithDescriptor_options_reflection_error(
            descriptor, options, None,
        )
    };
    if let Some(archive) = archive {
        archive.offer(descriptor);
        if let Ok(state) = with(MTLPipelineOption::FailOnBinaryArchiveMiss) {
            return Ok((state, false));
        }
        archive.add(descriptor);
    }
    Ok((with(MTLPipelineOption::None)?, true))
}
