//! A step: one command buffer, one encoder, one commit, one wait.

use std::{fmt, ptr::NonNull};

use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_metal::{
    MTLBarrierScope, MTLCommandBuffer, MTLCommandBufferStatus, MTLCommandEncoder, MTLCommandQueue,
    MTLComputeCommandEncoder, MTLDispatchType, MTLSize,
};

use super::{
    Buffer, Pipeline,
    buffer::{self},
    explain,
};
use crate::device::{Bound, DeviceError};

/// An encoder that ends when it goes, as Metal demands of every one.
struct Encoder(Retained<ProtocolObject<dyn MTLComputeCommandEncoder>>);

impl Drop for Encoder {
    fn drop(&mut self) {
        self.0.endEncoding();
    }
}

/// What is read at the end of a step.
struct Download {
    buffer: Buffer,
    offset: usize,
    bytes: usize,
}

/// A command buffer that is being written.
pub struct Commands {
    encoder: Encoder,
    buffer: Retained<ProtocolObject<dyn MTLCommandBuffer>>,
    downloads: Vec<Download>,
    launched: bool,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("launched", &self.launched).finish_non_exhaustive()
    }
}

impl Commands {
    pub(super) fn begin(queue: &ProtocolObject<dyn MTLCommandQueue>) -> Result<Self, DeviceError> {
        let none = |what: &str| DeviceError::Run(format!("Metal gave no {what}"));
        autoreleasepool(|_| {
            let buffer = queue.commandBuffer().ok_or_else(|| none("command buffer"))?;
            let encoder = buffer
                .computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent)
                .ok_or_else(|| none("compute encoder"))?;
            let encoder = Encoder(encoder);
            Ok(Self { encoder, buffer, downloads: Vec::new(), launched: false })
        })
    }

    /// Uploads are at once in their place, so kernels that were launched before would see them too.
    pub(super) fn before_launches(&self) -> Result<(), DeviceError> {
        match self.launched {
            true => Err(DeviceError::Run("an upload after a launch".into())),
            false => Ok(()),
        }
    }

    pub(super) fn dispatch(
        &mut self,
        pipeline: &Pipeline,
        buffers: &[Bound<'_, Buffer>],
        args: &[u32],
        grid: [u32; 3],
    ) -> Result<(), DeviceError> {
        pipeline.check(buffers.len(), args.len())?;
        buffers.iter().try_for_each(|bound| buffer::check(pipeline.name(), bound))?;
        if grid.contains(&0) {
            return Ok(());
        }
        let encoder = &self.encoder.0;
        encoder.setComputePipelineState(pipeline.state());
        for (i, bound) in buffers.iter().enumerate() {
            // SAFETY: the offset is inside of the buffer, which the command buffer keeps; the index is one of the kernel's
            unsafe {
                encoder.setBuffer_offset_atIndex(Some(bound.buffer.inner()), bound.offset, i);
            };
        }
        if !args.is_empty() {
            let words = NonNull::from(args).cast();
            // SAFETY: that many bytes are there, and are copied now; the argument struct follows the buffers
            unsafe { encoder.setBytes_length_atIndex(words, size_of_val(args), buffers.len()) };
        }
        let [width, height, depth] = grid.map(|n| n as usize);
        encoder.dispatchThreadgroups_threadsPerThreadgroup(
            MTLSize { width, height, depth },
            MTLSize { width: pipeline.threads(), height: 1, depth: 1 },
        );
        self.launched = true;
        Ok(())
    }

    pub(super) fn barrier(&mut self) {
        self.encoder.0.memoryBarrierWithScope(MTLBarrierScope::Buffers);
    }

    pub(super) fn download(&mut self, from: Bound<'_, Buffer>) -> Result<(), DeviceError> {
        let Bound { buffer, offset, bytes } = from;
        // refused now rather than after the step
        buffer.read(offset + bytes, &mut [])?;
        self.downloads.push(Download { buffer: buffer.clone(), offset, bytes });
        Ok(())
    }

    pub(super) fn commit(self) -> Pending {
        let Self { encoder, buffer, downloads, .. } = self;
        drop(encoder);
        autoreleasepool(|_| buffer.commit());
        Pending { buffer, downloads, awaited: false }
    }
}

/// A command buffer that runs.
pub struct Pending {
    buffer: Retained<ProtocolObject<dyn MTLCommandBuffer>>,
    downloads: Vec<Download>,
    awaited: bool,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending").field("awaited", &self.awaited).finish_non_exhaustive()
    }
}

impl Pending {
    fn settle(&mut self) -> Result<(), DeviceError> {
        self.awaited = true;
        autoreleasepool(|_| {
            self.buffer.waitUntilCompleted();
            if self.buffer.status() == MTLCommandBufferStatus::Completed {
                return Ok(());
            }
            let why = self.buffer.error().map(|error| explain(&error));
            Err(DeviceError::Run(why.unwrap_or_else(|| "Metal gave no reason".into())))
        })
    }

    pub(super) fn wait(mut self, downloaded: &mut Vec<u8>) -> Result<(), DeviceError> {
        self.settle()?;
        downloaded.clear();
        for Download { buffer, offset, bytes } in &self.downloads {
            let start = downloaded.len();
            downloaded.resize(start + bytes, 0);
            buffer.read(*offset, &mut downloaded[start..])?;
        }
        Ok(())
    }
}

impl Drop for Pending {
    /// Whoever does not wait waits here: the memory is the CPU's again afterwards.
    fn drop(&mut self) {
        if !self.awaited {
            // nobody is left to be told
            let _ = self.settle();
        }
    }
}
