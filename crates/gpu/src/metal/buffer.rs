//! Memory that the CPU and the GPU share.

use std::{
    ffi::c_void,
    fmt,
    ops::Range,
    ptr::{self, NonNull},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use block2::RcBlock;
use objc2::{
    rc::{Retained, autoreleasepool},
    runtime::ProtocolObject,
};
use objc2_foundation::NSPageSize;
use objc2_metal::{MTLBuffer, MTLDevice, MTLResourceOptions};

use super::residency::Residency;
use crate::device::{Bound, DeviceError, Map};

type Memory = Retained<ProtocolObject<dyn MTLBuffer>>;

/// A buffer. The GPU uses it only between a commit and the end of its [`Pending`](super::Pending), within which the
/// queue keeps the CPU away.
#[derive(Clone)]
pub struct Buffer(Arc<Inner>);

struct Inner {
    memory: Memory,
    bytes: usize,
    /// Which buffer it is, of all that ever were.
    number: u64,
    /// Whether it is a mapped file, which nobody may write to.
    mapped: bool,
    residency: Arc<Residency>,
}

// SAFETY: Metal's resources may be used and released on any thread; they are not bound to the one that made them.
unsafe impl Send for Inner {}
// SAFETY: as above; what is written to their contents is written through `&mut Buffer`, or by the GPU
unsafe impl Sync for Inner {}

impl Drop for Inner {
    fn drop(&mut self) {
        self.residency.remove(&self.memory);
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { bytes, mapped, .. } = *self.0;
        let mut buffer = f.debug_struct("Buffer");
        buffer.field("bytes", &bytes).field("mapped", &mapped).finish_non_exhaustive()
    }
}

/// One command buffer runs at a time and has barriers of its own, so Metal need not follow who uses what.
fn options() -> MTLResourceOptions {
    MTLResourceOptions::StorageModeShared | MTLResourceOptions::HazardTrackingModeUntracked
}

/// Refuses what is not inside of a buffer.
fn outside(what: &str, offset: usize, bytes: usize, of: usize) -> DeviceError {
    DeviceError::Run(format!("{what} of {bytes} bytes at {offset} of a buffer of {of}"))
}

impl Buffer {
    fn of(memory: Memory, mapped: bool, residency: &Arc<Residency>) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        residency.add(&memory);
        let (bytes, number) = (memory.length(), MADE.fetch_add(1, Relaxed));
        Self(Arc::new(Inner { memory, bytes, number, mapped, residency: residency.clone() }))
    }

    /// Zeros; `None` if there is no room for them.
    pub(super) fn zeroed(
        device: &ProtocolObject<dyn MTLDevice>,
        residency: &Arc<Residency>,
        bytes: usize,
    ) -> Option<Self> {
        // Metal makes no buffers of nothing, and clears those it makes
        let room = bytes.max(16);
        let made = (room <= device.maxBufferLength())
            .then(|| autoreleasepool(|_| device.newBufferWithLength_options(room, options())));
        Some(Self::of(made.flatten()?, false, residency))
    }

    /// The pages of a mapped file that hold `range`, and where it begins in them.
    pub(super) fn mapped(
        device: &ProtocolObject<dyn MTLDevice>,
        residency: &Arc<Residency>,
        map: &Map,
        range: Range<usize>,
    ) -> Option<(Self, usize)> {
        let bytes = map.as_ref().get(range)?;
        let page = NSPageSize();
        let lead = bytes.as_ptr().addr() % page;
        let room = (lead + bytes.len()).next_multiple_of(page);
        if bytes.is_empty() || room > device.maxBufferLength() {
            return None;
        }
        let first = NonNull::new(bytes.as_ptr().wrapping_sub(lead).cast_mut().cast::<c_void>())?;
        let kept = Mutex::new(Some(map.clone()));
        let release = RcBlock::new(move |_: NonNull<c_void>, _: usize| {
            drop(kept.lock().unwrap_or_else(PoisonError::into_inner).take());
        });
        // SAFETY: a mapping is of whole pages, which stay until Metal calls `release`, on whatever thread; nobody writes to
        // them, as `mapped` sees to
        let made = autoreleasepool(|_| unsafe {
            device.newBufferWithBytesNoCopy_length_options_deallocator(
                first,
                room,
                options(),
                Some(&release),
            )
        });
        Some((Self::of(made?, true, residency), lead))
    }

    pub(super) fn inner(&self) -> &ProtocolObject<dyn MTLBuffer> {
        &self.0.memory
    }

    /// A number that no other buffer has.
    pub(super) fn number(&self) -> u64 {
        self.0.number
    }

    /// Refuses to write to a file.
    fn own(&self) -> Result<(), DeviceError> {
        match self.0.mapped {
            true => Err(DeviceError::Run("a write to a mapped file".into())),
            false => Ok(()),
        }
    }

    /// Where `bytes` from `offset` lie, if they are inside.
    fn at(&self, what: &str, offset: usize, bytes: usize) -> Result<*mut u8, DeviceError> {
        if offset.checked_add(bytes).is_none_or(|end| end > self.0.bytes) {
            return Err(outside(what, offset, bytes, self.0.bytes));
        }
        let first = self.0.memory.contents().cast::<u8>().as_ptr();
        // SAFETY: the contents of a shared buffer are `bytes` long, and the offset is not beyond
        Ok(unsafe { first.add(offset) })
    }

    pub(super) fn write(&mut self, offset: usize, bytes: &[u8]) -> Result<(), DeviceError> {
        self.own()?;
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
        self.own()?;
        let to = self.at("a copy to", offset, bytes)?;
        let from = from.at("a copy", at, bytes)?;
        // SAFETY: both are inside; this copy minds overlaps
        unsafe { ptr::copy(from, to, bytes) };
        Ok(())
    }
}

/// Refuses a part that a kernel, which `writes` to it or does not, cannot be given.
pub(super) fn check(
    kernel: &str,
    bound: &Bound<'_, Buffer>,
    writes: bool,
) -> Result<(), DeviceError> {
    let &Bound { buffer: Buffer(buffer), offset, bytes } = bound;
    if writes && buffer.mapped {
        return Err(DeviceError::Run(format!("{kernel}: a mapped file to write to")));
    }
    let inside = offset.checked_add(bytes).is_some_and(|end| end <= buffer.bytes);
    match inside && bytes > 0 && offset.is_multiple_of(16) {
        true => Ok(()),
        false => Err(outside(&format!("{kernel}: a binding"), offset, bytes, buffer.bytes)),
    }
}
