//! Zeroed memory that costs nothing until it is touched.

use memmap2::{Advice, MmapMut};
use tessera_graph::BackendError;

/// An anonymous mapping, page-aligned and zero, addressed by raw pointers because several threads write
/// disjoint parts of it at once.
pub(crate) struct Region {
    map: Option<MmapMut>,
    base: *mut u8,
    len: usize,
}

// SAFETY: the mapping is owned; who accesses which part is decided by the code that holds the pointers.
unsafe impl Send for Region {}
// SAFETY: as above; `&Region` only gives out the address.
unsafe impl Sync for Region {}

impl Region {
    /// `len` zero bytes, in huge pages where the system grants them.
    pub fn new(len: usize, what: &'static str) -> Result<Self, BackendError> {
        if len == 0 {
            return Ok(Self { map: None, base: std::ptr::dangling_mut::<[u64; 8]>().cast(), len });
        }
        let mut map =
            MmapMut::map_anon(len).map_err(|_| BackendError::Memory { bytes: len, what })?;
        #[cfg(target_os = "linux")]
        {
            // only a hint: small pages work as well, a little slower
            let _ = map.advise(Advice::HugePage);
        }
        let base = map.as_mut_ptr();
        Ok(Self { map: Some(map), base, len })
    }

    /// Address of byte `offset`.
    pub fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.len, "offset {offset} beyond a region of {} bytes", self.len);
        // SAFETY: the offset is inside the mapping or one past its end.
        unsafe { self.base.add(offset) }
    }

    /// Bytes mapped.
    pub fn len(&self) -> usize {
        self.map.as_ref().map_or(0, |m| m.len())
    }
}
