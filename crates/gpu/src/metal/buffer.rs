//! Memory that the CPU and the GPU share.

use std::{fmt, ptr};

use objc2::{rc::Retained, runtime::ProtocolObject};
use objc2_metal::MTLBuffer;

use crate::device::{Bound, DeviceError};

/// A buffer. The GPU uses it only between a commit and the end of its [`Pending`](super::Pending), within which the
/// queue keeps the CPU away.
#[derive(Clone)]
pub struct Buffer {
    inner: Retained<ProtocolObject<dyn MTLBuffer>>,
    bytes: usize,
}

// SAFETY: Metal's resources may be used and released on any thread; they are not bound to the one that made them.
unsafe impl Send for Buffer {}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Buffer").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

/// Refuses what is not inside of a buffer.
fn outside(what: &str, offset: usize, bytes: usize, of: usize) -> DeviceError {
    DeviceError::Run(format!("{what} of {bytes} bytes at {offset} of a buffer of {of}"))
}

impl Buffer {
    pub(super) fn new(inner: Retained<ProtocolObject<dyn MTLBuffer>>) -> Self {
        let bytes = inner.length();
        Self { inner, bytes }
    }

    pub(super) fn inner(&self) -> &ProtocolObject<dyn MTLBuffer> {
        &self.inner
    }

    /// Where `bytes` from `offset` lie, if they are inside.
    fn at(&self, what: &str, offset: usize, bytes: usize) -> Result<*mut u8, DeviceError> {
        if offset.checked_add(bytes).is_none_or(|end| end > self.bytes) {
            return Err(outside(what, offset, bytes, self.bytes));
        }
        let first = self.inner.contents().cast::<u8>().as_ptr();
        // SAFETY: the contents of a shared buffer are `self.bytes` long, and the offset is not beyond
        Ok(unsafe { first.add(offset) })
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), DeviceError> {
        let to = self.at("a write", offset, bytes.len())?;
        // SAFETY: the room is there; no slice ever refers to a buffer's contents, so `bytes` lie elsewhere
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) };
        Ok(())
    }

    pub(super) fn read(&self, offset: usize, bytes: &mut [u8]) -> Result<(), DeviceError> {
        let from = self.at("a read", offset, bytes.len())?;
        // SAFETY: as in `write`; whatever the bytes are, they are initialised, for Metal cleared them
        unsafe { ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) };
        Ok(())
    }

    /// Copies `bytes` at `at` of `from` to `offset`.
    pub(super) fn copy(
        &mut self,
        offset: usize,
        from: &Self,
        at: usize,
        bytes: usize,
    ) -> Result<(), DeviceError> {
        let to = self.at("a copy to", offset, bytes)?;
        let from = from.at("a copy", at, bytes)?;
        // SAFETY: both are inside; this copy minds overlaps
        unsafe { ptr::copy(from, to, bytes) };
        Ok(())
    }
}

/// Refuses a part that a kernel cannot be given.
pub(super) fn check(kernel: &str, bound: &Bound<'_, Buffer>) -> Result<(), DeviceError> {
    let &Bound { buffer, offset, bytes } = bound;
    let inside = offset.checked_add(bytes).is_some_and(|end| end <= buffer.bytes);
    match inside && bytes > 0 && offset.is_multiple_of(16) {
        true => Ok(()),
        false => Err(outside(&format!("{kernel}: a binding"), offset, bytes, buffer.bytes)),
    }
}
