//! A step: one command buffer, one encoder, one commit, one wait.

use std::{fmt, ptr::NonNull, sync::Arc};

use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_metal::{
    MTLBarrierScope, MTLBuffer, MTLCommandBuffer, MTLCommandEncoder, MTLCommandQueue,
    MTLComputeCommandEncoder, MTLDispatchType, MTLSize,
};

use super::{
    Buffer, Pipeline, buffer,
    indirect::{Collected, Indirect},
    pipeline::MOST_BUFFERS,
    residency::Residency,
    wait::{End, Ends, Used},
};
use crate::device::{Bound, DeviceError};

/// An encoder that ends when it goes, as Metal demands of every one.
struct Encoder(Retained<ProtocolObject<dyn MTLComputeCommandEncoder>>);

impl Drop for Encoder {
    fn drop(&mut self) {
        self.0.endEncoding();
    }
}

impl Encoder {
    /// Encodes a launch whose parts were checked.
    fn launch<'a>(
        &self,
        pipeline: &Pipeline,
        buffers: impl Iterator<Item = (&'a ProtocolObject<dyn MTLBuffer>, usize)>,
        args: &[u32],
        grid: [u32; 3],
    ) {
        self.0.setComputePipelineState(pipeline.state());
        let mut place = 0;
        for (buffer, offset) in buffers {
            // SAFETY: the offset is inside of the buffer, which the command buffer keeps; the index is one of the kernel's
            unsafe { self.0.setBuffer_offset_atIndex(Some(buffer), offset, place) };
            place += 1;
        }
        if !args.is_empty() {
            let words = NonNull::from(args).cast();
            // SAFETY: that many bytes are there, and are copied now; the argument struct follows the buffers
            unsafe { self.0.setBytes_length_atIndex(words, size_of_val(args), place) };
        }
        let [width, height, depth] = grid.map(|n| n as usize);
        self.0.dispatchThreadgroups_threadsPerThreadgroup(
            MTLSize { width, height, depth },
            MTLSize { width: pipeline.threads(), height: 1, depth: 1 },
        );
    }

    fn barrier(&self) {
        self.0.memoryBarrierWithScope(MTLBarrierScope::Buffers);
    }
}

/// What is read at the end of a step.
#[derive(Debug)]
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
    /// The launches, where they may become indirect commands.
    collected: Option<Collected>,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("launched", &self.launched).finish_non_exhaustive()
    }
}

impl Commands {
    /// Begins a step whose launches are encoded at once, or `collects` them.
    pub(super) fn begin(
        queue: &ProtocolObject<dyn MTLCommandQueue>,
        collects: bool,
    ) -> Result<Self, DeviceError> {
        let none = |what: &str| DeviceError::Run(format!("Metal gave no {what}"));
        autoreleasepool(|_| {
            let buffer = queue.commandBuffer().ok_or_else(|| none("command buffer"))?;
            let encoder = buffer
                .computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent)
                .ok_or_else(|| none("compute encoder"))?;
            let encoder = Encoder(encoder);
            let collected = collects.then(Collected::default);
            Ok(Self { encoder, buffer, downloads: Vec::new(), launched: false, collected })
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
        for (place, bound) in buffers.iter().enumerate() {
            buffer::check(pipeline.name(), bound, pipeline.writes(place))?;
        }
        if grid.contains(&0) {
            return Ok(());
        }
        self.launched = true;
        let Some(Collected { script, buffers: all }) = &mut self.collected else {
            let bound = buffers.iter().map(|bound| (bound.buffer.inner(), bound.offset));
            self.encoder.launch(pipeline, bound, args, grid);
            return Ok(());
        };
        let mut addresses = [[0; 2]; MOST_BUFFERS];
        for (address, &Bound { buffer, offset, .. }) in addresses.iter_mut().zip(buffers) {
            *address = [buffer.number(), offset as u64];
            all.entry(buffer.number()).or_insert_with(|| buffer.clone());
        }
        let addresses = addresses[..buffers.len()].as_flattened();
        script.push(pipeline, grid, pipeline.threads() as u32, addresses, args);
        Ok(())
    }

    pub(super) fn barrier(&mut self) {
        match &mut self.collected {
            Some(collected) => collected.script.barrier(),
            None => self.encoder.barrier(),
        }
    }

    /// What was collected.
    pub(super) fn collected(&self) -> Option<&Collected> {
        self.collected.as_ref()
    }

    /// Encodes what was collected, launch by launch.
    pub(super) fn encode(&self) {
        let Some(collected) = &self.collected else { return };
        for (launch, addresses, words) in collected.script.iter() {
            if launch.barrier {
                self.encoder.barrier();
            }
            let bound = collected.bindings(addresses);
            let bound = bound.map(|(buffer, offset)| (buffer.inner(), offset));
            self.encoder.launch(&launch.function, bound, words, launch.grid);
        }
    }

    /// Runs indirect commands, which are those that were collected.
    pub(super) fn execute(&self, commands: &Indirect, residency: &Residency) {
        let buffers = self.collected.iter().flat_map(|collected| collected.buffers.values());
        commands.execute(&self.encoder.0, residency, buffers);
    }

    pub(super) fn download(&mut self, from: Bound<'_, Buffer>) -> Result<(), DeviceError> {
        let Bound { buffer, offset, bytes } = from;
        // refused now rather than after the step
        buffer.read(offset + bytes, &mut [])?;
        self.downloads.push(Download { buffer: buffer.clone(), offset, bytes });
        Ok(())
    }

    /// Commits it, with the indirect commands that it runs.
    pub(super) fn commit(self, ends: &mut Ends, commands: Option<Arc<Indirect>>) -> Pending {
        let Self { encoder, buffer, downloads, collected, .. } = self;
        drop(encoder);
        let buffers = match &commands {
            Some(_) => collected.into_iter().flat_map(|all| all.buffers.into_values()).collect(),
            None => Vec::new(),
        };
        Pending { end: ends.commit(buffer, Used { buffers, commands }), downloads }
    }
}

/// A command buffer that runs.
#[derive(Debug)]
pub struct Pending {
    end: End,
    downloads: Vec<Download>,
}

impl Pending {
    pub(super) fn wait(mut self, downloaded: &mut Vec<u8>) -> Result<(), DeviceError> {
        self.end.wait()?;
        downloaded.clear();
        for Download { buffer, offset, bytes } in &self.downloads {
            let start = downloaded.len();
            downloaded.resize(start + bytes, 0);
            buffer.read(*offset, &mut downloaded[start..])?;
        }
        Ok(())
    }
}
