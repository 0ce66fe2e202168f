//! Launches that come again, encoded once.
//!
//! An indirect command holds a pipeline, what is bound to it and a grid, and stays as it is; a step that was seen before is
//! one call. Argument structs of all commands lie in one buffer. A barrier is part of the command before which it is due.
//! Commands keep nothing alive and make nothing resident: see [`Used`](super::wait::Used) and
//! [`Residency`](super::residency::Residency).

use std::{collections::BTreeMap, fmt, sync::Arc};

use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_foundation::NSRange;
use objc2_metal::{
    MTLComputeCommandEncoder, MTLDevice, MTLIndirectCommandBuffer,
    MTLIndirectCommandBufferDescriptor, MTLIndirectCommandType, MTLIndirectComputeCommand,
    MTLResourceOptions, MTLSize,
};

use super::{Buffer, Pipeline, residency::Residency};
use crate::{
    device::DeviceError,
    replay::{Graphs, Identity, Plan, Replays, Script},
};

/// Commands of an indirect buffer at most, so that any GPU executes all of them at once.
const MOST_COMMANDS: usize = 1 << 14;

/// What an argument struct begins at a multiple of: a constant buffer's alignment on the strictest of GPUs.
const ALIGN: usize = 256;

impl Identity for Pipeline {
    fn id(&self) -> u64 {
        self.number()
    }
}

/// A step's launches, and the buffers that they bind by their numbers.
#[derive(Default)]
pub(super) struct Collected {
    pub(super) script: Script<Pipeline>,
    pub(super) buffers: BTreeMap<u64, Buffer>,
}

impl Collected {
    /// The buffer and offset of each binding of a launch.
    pub(super) fn bindings<'a>(
        &'a self,
        addresses: &'a [u64],
    ) -> impl Iterator<Item = (&'a Buffer, usize)> {
        let pairs = addresses.as_chunks::<2>().0.iter();
        pairs.filter_map(|[number, offset]| Some((self.buffers.get(number)?, *offset as usize)))
    }
}

/// The steps that came before.
#[derive(Default)]
pub(super) struct Again(Graphs<Arc<Indirect>, Pipeline>);

impl Again {
    /// What became of the steps so far.
    pub(super) fn counts(&self) -> Replays {
        self.0.counts()
    }

    /// The commands of a step, encoded now if it comes for the second time. The first time there are none, nor of a single
    /// launch, with which nothing is saved.
    pub(super) fn find(
        &mut self,
        device: &ProtocolObject<dyn MTLDevice>,
        residency: &Arc<Residency>,
        step: &Collected,
    ) -> Result<Option<Arc<Indirect>>, DeviceError> {
        let script = &step.script;
        let place = match (2..=MOST_COMMANDS).contains(&script.len()).then(|| self.0.plan(script)) {
            None | Some(Plan::Plain) => return Ok(None),
            Some(Plan::Capture) => {
                let made = Indirect::new(device, residency, step)?;
                // its buffer of arguments is new
                residency.settle();
                self.0.keep(script, Arc::new(made))
            }
            Some(Plan::Replay(place)) => place,
        };
        Ok(Some(self.0.graph(place).clone()))
    }
}

/// Encoded commands.
pub(super) struct Indirect {
    commands: Retained<ProtocolObject<dyn MTLIndirectCommandBuffer>>,
    count: usize,
    args: Option<Buffer>,
}

// SAFETY: Metal's resources may be used and released on any thread; commands are changed only where they are made
unsafe impl Send for Indirect {}
// SAFETY: as above
unsafe impl Sync for Indirect {}

impl fmt::Debug for Indirect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Indirect").field("count", &self.count).finish_non_exhaustive()
    }
}

impl Indirect {
    /// Encodes launches.
    fn new(
        device: &ProtocolObject<dyn MTLDevice>,
        residency: &Arc<Residency>,
        step: &Collected,
    ) -> Result<Self, DeviceError> {
        let script = &step.script;
        let room = script.iter().map(|(_, _, words)| room_of(words)).sum::<usize>();
        let none = DeviceError::Memory { bytes: room, what: "indirect commands" };
        let mut args = match room {
            0 => None,
            _ => Some(Buffer::zeroed(device, residency, room).ok_or_else(|| none.clone())?),
        };
        let most = script
            .iter()
            .map(|(_, bindings, words)| bindings.len() / 2 + usize::from(!words.is_empty()));
        let count = script.len();
        autoreleasepool(|_| {
            let descriptor = MTLIndirectCommandBufferDescriptor::new();
            descriptor.setCommandTypes(MTLIndirectCommandType::ConcurrentDispatch);
            descriptor.setInheritBuffers(false);
            descriptor.setInheritPipelineState(false);
            descriptor.setMaxKernelBufferBindCount(most.max().unwrap_or(0));
            let options = MTLResourceOptions::StorageModeShared;
            // SAFETY: callers have seen to it that there are no more than `MOST_COMMANDS`
            let commands = unsafe {
                device.newIndirectCommandBufferWithDescriptor_maxCommandCount_options(
                    &descriptor,
                    count,
                    options,
                )
            };
            let commands = commands.ok_or(none)?;
            let mut at = 0;
            for (i, (launch, addresses, words)) in script.iter().enumerate() {
                // SAFETY: one of `count`
                let command = unsafe { commands.indirectComputeCommandAtIndex(i) };
                let pipeline = &launch.function;
                command.setComputePipelineState(pipeline.state());
                for (place, (buffer, offset)) in step.bindings(addresses).enumerate() {
                    // SAFETY: `dispatch` has checked the offset, and that the pipeline has this place
                    unsafe {
                        command.setKernelBuffer_offset_atIndex(buffer.inner(), offset, place);
                    };
                }
                if let Some(args) = args.as_mut().filter(|_| !words.is_empty()) {
                    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
                    args.write(at, &bytes)?;
                    let place = addresses.len() / 2;
                    // SAFETY: as above; the argument struct follows the buffers
                    unsafe { command.setKernelBuffer_offset_atIndex(args.inner(), at, place) };
                    at += room_of(words);
                }
                if launch.barrier {
                    command.setBarrier();
                }
                let [width, height, depth] = launch.grid.map(|n| n as usize);
                command.concurrentDispatchThreadgroups_threadsPerThreadgroup(
                    MTLSize { width, height, depth },
                    MTLSize { width: pipeline.threads(), height: 1, depth: 1 },
                );
            }
            Ok(Self { commands, count, args })
        })
    }

    /// Runs them. `buffers` are what they bind.
    pub(super) fn execute<'a>(
        &'a self,
        encoder: &ProtocolObject<dyn MTLComputeCommandEncoder>,
        residency: &Residency,
        buffers: impl Iterator<Item = &'a Buffer>,
    ) {
        let all = buffers.chain(&self.args);
        residency.declare(encoder, all.map(Buffer::inner));
        // SAFETY: all of the commands; they and what they bind live until the step ends, and nothing changes them meanwhile
        unsafe {
            encoder.executeCommandsInBuffer_withRange(&self.commands, NSRange::new(0, self.count));
        };
    }
}

/// Bytes that an argument struct takes.
fn room_of(words: &[u32]) -> usize {
    size_of_val(words).next_multiple_of(ALIGN)
}
