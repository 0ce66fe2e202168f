//! What the GPU keeps at hand.
//!
//! Since macOS 15 all buffers of a device are in one residency set, which its queue is told of once: a step names none of
//! them. Changes take effect when the next step begins. Older systems have no such sets: there an encoder makes what is
//! bound to it resident, and what indirect commands use is named in every step ([`Residency::declare`]).

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
    sel,
};
use objc2_foundation::NSObjectProtocol;
use objc2_metal::{
    MTLBuffer, MTLCommandQueue, MTLComputeCommandEncoder, MTLDevice, MTLResidencySet,
    MTLResidencySetDescriptor, MTLResourceUsage,
};

use super::explain;
use crate::device::DeviceError;

struct Set {
    inner: Retained<ProtocolObject<dyn MTLResidencySet>>,
    changed: bool,
}

// SAFETY: a set is not bound to a thread, and the lock around it keeps two from using it at once
unsafe impl Send for Set {}

/// The set of a device, if its system has such.
pub(super) struct Residency(Option<Mutex<Set>>);

impl fmt::Debug for Residency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Residency").field(&self.0.is_some()).finish()
    }
}

impl Residency {
    /// Makes the set and tells the queue of it.
    pub(super) fn new(
        device: &ProtocolObject<dyn MTLDevice>,
        queue: &ProtocolObject<dyn MTLCommandQueue>,
    ) -> Result<Arc<Self>, DeviceError> {
        if !device.respondsToSelector(sel!(newResidencySetWithDescriptor:error:)) {
            return Ok(Arc::new(Self(None)));
        }
        let inner =
            device.newResidencySetWithDescriptor_error(&MTLResidencySetDescriptor::new()).map_err(
                |error| DeviceError::Run(format!("no residency set: {}", explain(&error))),
            )?;
        queue.addResidencySet(&inner);
        Ok(Arc::new(Self(Some(Mutex::new(Set { inner, changed: false })))))
    }

    fn change(&self, change: impl FnOnce(&ProtocolObject<dyn MTLResidencySet>)) {
        if let Some(set) = &self.0 {
            let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
            autoreleasepool(|_| change(&set.inner));
            set.changed = true;
        }
    }

    pub(super) fn add(&self, buffer: &ProtocolObject<dyn MTLBuffer>) {
        self.change(|set| set.addAllocation(ProtocolObject::from_ref(buffer)));
    }

    pub(super) fn remove(&self, buffer: &ProtocolObject<dyn MTLBuffer>) {
        self.change(|set| set.removeAllocation(ProtocolObject::from_ref(buffer)));
    }

    /// Lets changes take effect, and asks for new memory ahead of its use. No step runs.
    pub(super) fn settle(&self) {
        if let Some(set) = &self.0 {
            let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
            if std::mem::take(&mut set.changed) {
                set.inner.commit();
                set.inner.requestResidency();
            }
        }
    }

    /// Names what indirect commands of this encoder use, where no set does.
    pub(super) fn declare<'a>(
        &self,
        encoder: &ProtocolObject<dyn MTLComputeCommandEncoder>,
        buffers: impl Iterator<Item = &'a ProtocolObject<dyn MTLBuffer>>,
    ) {
        if self.0.is_none() {
            let usage = MTLResourceUsage::Read | MTLResourceUsage::Write;
            buffers.for_each(|buffer| {
                encoder.useResource_usage(ProtocolObject::from_ref(buffer), usage);
            });
        }
    }
}
