//! A shared, cheaply cloned range of bytes.

use std::{fmt, ops::Deref, sync::Arc};

/// What keeps a [`Bytes`] alive.
trait Owner: Send + Sync {
    fn bytes(&self) -> &[u8];

    /// Tells the system how a range will be used, where that means anything.
    fn advise(&self, _hint: Hint, _start: usize, _len: usize) {}

    /// Whether the bytes are a mapped file's.
    fn is_mapped(&self) -> bool {
        false
    }
}

/// How a range of a mapped file will be used.
#[derive(Clone, Copy)]
enum Hint {
    Soon,
    NoMore,
}

impl Owner for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }
}

impl Owner for memmap2::Mmap {
    fn bytes(&self) -> &[u8] {
        self
    }

    #[cfg(unix)]
    fn advise(&self, hint: Hint, start: usize, len: usize) {
        use memmap2::{Advice, UncheckedAdvice};
        // These are hints: a system that refuses one loses nothing but time or residency.
        let _ = match hint {
            Hint::Soon => self.advise_range(Advice::WillNeed, start, len),
            // SAFETY: the mapping is read-only and backed by its file, so pages that are dropped
            // come back with the same contents when they are touched again.
            Hint::NoMore => unsafe {
                self.unchecked_advise_range(UncheckedAdvice::DontNeed, start, len)
            },
        };
    }

    fn is_mapped(&self) -> bool {
        true
    }
}

/// A file, or a part of one, that is mapped into memory for as long as this lives: whole pages, of which the first and the
/// last may hold more than its bytes.
#[derive(Clone)]
pub struct Map(Arc<dyn Owner>);

impl Map {
    /// Whether it is the same mapping, not only the same file.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl AsRef<[u8]> for Map {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Map({})", self.as_ref().len())
    }
}

/// A range of bytes that keeps its owner (a mapped file or a vector) alive.
///
/// Cloning and slicing copy nothing.
#[derive(Clone)]
pub struct Bytes {
    owner: Arc<dyn Owner>,
    start: usize,
    len: usize,
}

impl Bytes {
    /// All bytes of a mapped file.
    pub fn from_map(map: memmap2::Mmap) -> Self {
        let len = map.len();
        Self { owner: Arc::new(map), start: 0, len }
    }

    /// Where the range begins in its owner.
    pub(crate) fn offset(&self) -> usize {
        self.start
    }

    /// The mapped file that this range lies in, and where in it; `None` where it lies in memory of the process's own.
    pub fn map(&self) -> Option<(Map, usize)> {
        self.owner.is_mapped().then(|| (Map(self.owner.clone()), self.start))
    }

    /// Asks the system to read this range ahead, where it is part of a mapped file. It may read
    /// only a part of a long range.
    pub fn prefetch(&self) {
        self.owner.advise(Hint::Soon, self.start, self.len);
    }

    /// Lets the system take back the memory of this range, where it is part of a mapped file.
    ///
    /// For a backend that has re-laid a weight and will not read it again. The range stays valid:
    /// pages touched afterwards are read from the file anew. Whole pages are dropped, so the edges
    /// of neighbouring ranges may be among them.
    pub fn release(&self) {
        self.owner.advise(Hint::NoMore, self.start, self.len);
    }

    /// The bytes `start..start + len` of this range, or `None` when they are not all inside it.
    pub fn slice(&self, start: usize, len: usize) -> Option<Self> {
        let end = start.checked_add(len)?;
        (end <= self.len).then(|| Self {
            owner: self.owner.clone(),
            start: self.start + start,
            len,
        })
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        let len = bytes.len();
        Self { owner: Arc::new(bytes), start: 0, len }
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.owner.bytes()[self.start..self.start + self.len]
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bytes({})", self.len)
    }
}
