//! Memory of the device, and memory of the host that the device reaches.

use std::{
    ptr::{self, NonNull},
    sync::Arc,
};

use cudarc::driver::sys::{self, CUresult};

use super::{Context, done};
use crate::device::DeviceError;

/// Memory on the device.
#[derive(Debug)]
pub struct Memory {
    context: Arc<Context>,
    pub(super) address: sys::CUdeviceptr,
    bytes: usize,
}

impl Memory {
    /// `bytes` of it, at least 16, with contents unknown.
    pub(super) fn new(
        context: &Arc<Context>,
        bytes: usize,
        what: &'static str,
    ) -> Result<Self, DeviceError> {
        let mut address = 0;
        // SAFETY: writes one address; not of zero bytes.
        match unsafe { sys::cuMemAlloc_v2(&raw mut address, bytes.max(16)) } {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Err(DeviceError::Memory { bytes, what }),
            result => {
                done(result, "memory")?;
                Ok(Self { context: context.clone(), address, bytes })
            }
        }
    }

    /// Where it begins, a multiple of 256.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// Bytes of it.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The address of a part, which must lie within.
    pub fn part(&self, offset: usize, bytes: usize) -> Result<u64, DeviceError> {
        match offset.checked_add(bytes) {
            Some(end) if end <= self.bytes => Ok(self.address + offset as u64),
            _ => Err(DeviceError::Run(format!(
                "bytes {offset} and {bytes} more of a buffer of {}",
                self.bytes
            ))),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.context.loose().push(self.address);
    }
}

/// Memory of the host that the device reads and writes by itself.
#[derive(Debug)]
pub struct Pinned {
    context: Arc<Context>,
    at: NonNull<u8>,
    bytes: usize,
}

// SAFETY: it is owned memory, and reached through this alone.
unsafe impl Send for Pinned {}

impl Pinned {
    /// `bytes` of it, all zeros.
    pub fn new(context: &Arc<Context>, bytes: usize) -> Result<Self, DeviceError> {
        let what = "pinned memory of the host";
        let mut at = ptr::null_mut();
        // SAFETY: writes one address; not of zero bytes.
        match unsafe { sys::cuMemAllocHost_v2(&raw mut at, bytes.max(16)) } {
            CUresult::CUDA_ERROR_OUT_OF_MEMORY => Err(DeviceError::Memory { bytes, what }),
            result => {
                done(result, what)?;
                let at =
                    NonNull::new(at.cast::<u8>()).ok_or(DeviceError::Memory { bytes, what })?;
                // SAFETY: as many bytes were allocated.
                unsafe { at.write_bytes(0, bytes) };
                Ok(Self { context: context.clone(), at, bytes })
            }
        }
    }

    /// Its bytes. Nothing on the device may write them meanwhile.
    pub fn get(&self) -> &[u8] {
        // SAFETY: allocated and initialised; the stream is awaited before the host looks.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.bytes) }
    }

    /// Copies bytes to it, where nothing on the device reads; elsewhere it may.
    pub fn put(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset.checked_add(bytes.len()).is_some_and(|end| end <= self.bytes));
        // SAFETY: within what is allocated, as was just seen, and of this alone.
        unsafe {
            self.at.add(offset).copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len())
        };
    }

    /// Its bytes. Nothing on the device may touch them meanwhile.
    pub fn get_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `get`, and borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: allocated once in this context. A failure leaves nothing to do.
        unsafe {
            if self.context.bind().is_ok() {
                sys::cuMemFreeHost(self.at.as_ptr().cast());
            }
        }
    }
}
