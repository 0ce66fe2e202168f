//! The end of a step: a shared event bounds the wait, the command buffer tells how it went.
//!
//! Waiting for the command buffer itself would be enough if every step ended. A wait for an event ends by itself after a
//! while, so a step that hangs is an error and not a program that hangs. Once the event is signalled the command buffer is
//! complete but for its bookkeeping, which is awaited too: only it knows of errors. A step that fails may never signal, so
//! its status is looked at between waits.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_metal::{MTLCommandBuffer, MTLCommandBufferStatus, MTLDevice, MTLSharedEvent};

use super::{Buffer, explain, indirect::Indirect};
use crate::device::DeviceError;

/// A wait at most, before the status is looked at.
const SLICE: Duration = Duration::from_millis(100);

/// What steps are awaited by.
pub(super) struct Ends {
    event: Retained<ProtocolObject<dyn MTLSharedEvent>>,
    last: u64,
    patience: Duration,
    hung: Arc<AtomicBool>,
}

impl Ends {
    pub(super) fn new(device: &ProtocolObject<dyn MTLDevice>, patience: Duration) -> Option<Self> {
        let event = device.newSharedEvent()?;
        Some(Self { event, last: 0, patience, hung: Arc::default() })
    }

    fn error(patience: Duration) -> DeviceError {
        DeviceError::Hung { seconds: patience.as_secs_f64().ceil() as u64 }
    }

    /// Refuses all work after a step that hung: it may still use the memory of all others.
    pub(super) fn check(&self) -> Result<(), DeviceError> {
        match self.hung() {
            true => Err(Self::error(self.patience)),
            false => Ok(()),
        }
    }

    /// Whether a step did not end.
    pub(super) fn hung(&self) -> bool {
        self.hung.load(Relaxed)
    }

    /// Lets a command buffer, whose encoders have ended, tell its end; commits it.
    pub(super) fn commit(
        &mut self,
        buffer: Retained<ProtocolObject<dyn MTLCommandBuffer>>,
        used: Used,
    ) -> End {
        self.last += 1;
        autoreleasepool(|_| {
            buffer.encodeSignalEvent_value(ProtocolObject::from_ref(&*self.event), self.last);
            buffer.commit();
        });
        let (event, hung) = (self.event.clone(), self.hung.clone());
        let Self { last: value, patience, .. } = *self;
        End { buffer, event, value, patience, hung, used, awaited: false }
    }
}

/// What indirect commands use, which their command buffer does not keep alive.
#[derive(Default)]
#[expect(dead_code, reason = "they are only kept")]
pub(super) struct Used {
    /// What they are bound to.
    pub(super) buffers: Vec<Buffer>,
    /// The commands.
    pub(super) commands: Option<Arc<Indirect>>,
}

/// The end of a command buffer that runs.
pub(super) struct End {
    buffer: Retained<ProtocolObject<dyn MTLCommandBuffer>>,
    event: Retained<ProtocolObject<dyn MTLSharedEvent>>,
    value: u64,
    patience: Duration,
    hung: Arc<AtomicBool>,
    used: Used,
    awaited: bool,
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End").field("value", &self.value).finish_non_exhaustive()
    }
}

impl End {
    pub(super) fn wait(&mut self) -> Result<(), DeviceError> {
        self.awaited = true;
        autoreleasepool(|_| {
            let begun = Instant::now();
            let slice = self.patience.min(SLICE).as_millis() as u64;
            while !self.event.waitUntilSignaledValue_timeoutMS(self.value, slice.max(1)) {
                let status = self.buffer.status();
                let ended = [MTLCommandBufferStatus::Completed, MTLCommandBufferStatus::Error];
                if ended.contains(&status) {
                    break;
                }
                if begun.elapsed() >= self.patience {
                    self.hung.store(true, Relaxed);
                    // the GPU may still come back to them
                    std::mem::forget(std::mem::take(&mut self.used));
                    return Err(Ends::error(self.patience));
                }
            }
            self.buffer.waitUntilCompleted();
            if self.buffer.status() == MTLCommandBufferStatus::Completed {
                return Ok(());
            }
            let why = self.buffer.error().map(|error| explain(&error));
            Err(DeviceError::Run(why.unwrap_or_else(|| "Metal gave no reason".into())))
        })
    }
}

impl Drop for End {
    /// Whoever does not wait waits here: the memory is the CPU's again afterwards.
    fn drop(&mut self) {
        if !self.awaited {
            // nobody is left to be told
            let _ = self.wait();
        }
    }
}
