//! Opening and mapping files.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use crate::{Bytes, Error, Result};

/// A mapped file and what is needed to notice that it changed.
#[derive(Debug)]
pub(crate) struct Mapped {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Mapped {
    /// Maps a regular file whole.
    ///
    /// Symbolic links are followed: the Hub's cache consists of them.
    pub(crate) fn open(path: &Path) -> Result<(Self, Bytes)> {
        let (file, len) = open(path)?;
        if len == 0 {
            return Err(Error::Malformed {
                path: path.into(),
                problem: "the file is empty".into(),
            });
        }
        // SAFETY: the mapping is read-only. Another process that writes to the file can change bytes
        // under us: they are only ever decoded as numbers, for which every pattern is valid, and
        // text is copied before it is checked. One that shortens the file raises SIGBUS on access,
        // which no portable code can prevent: `Mapped::verify` narrows the window.
        let map = unsafe { memmap2::Mmap::map(&file) }.map_err(io_error(path))?;
        Ok((Self { path: path.into(), file, len }, Bytes::from_map(map)))
    }

    /// Maps the bytes from `start` to `end` of the file alone.
    pub(crate) fn part(&self, start: usize, end: usize) -> Result<Bytes> {
        let mut options = memmap2::MmapOptions::new();
        options.offset(start as u64).len(end - start);
        // SAFETY: as in `open`.
        let map = unsafe { options.map(&self.file) }.map_err(io_error(&self.path))?;
        Ok(Bytes::from_map(map))
    }

    /// Checks that the file still has the length it was mapped with.
    pub(crate) fn verify(&self) -> Result<()> {
        let now = self.file.metadata().map_err(io_error(&self.path))?.len();
        if now != self.len {
            return Err(Error::Changed { path: self.path.clone(), was: self.len, now });
        }
        Ok(())
    }
}

/// Opens a regular file and tells its length.
///
/// The kind is asked before opening, since opening a pipe would wait for its other end.
fn open(path: &Path) -> Result<(File, u64)> {
    let kind = std::fs::metadata(path).map_err(io_error(path))?;
    if !kind.is_file() {
        return Err(Error::NotRegularFile { path: path.into() });
    }
    let file = File::open(path).map_err(io_error(path))?;
    let len = file.metadata().map_err(io_error(path))?.len();
    Ok((file, len))
}

/// Reads a small file whole; one above `limit` bytes is refused unread.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, len) = open(path)?;
    let mut bytes = Vec::new();
    if len <= limit {
        // It may have grown since: read no more than one byte over the limit.
        file.take(limit + 1).read_to_end(&mut bytes).map_err(io_error(path))?;
    }
    let value = len.max(bytes.len() as u64);
    if value > limit {
        let what = "length of the file in bytes".into();
        return Err(Error::Limit { path: path.into(), what, value, limit });
    }
    Ok(bytes)
}

/// Names the file in an error of the system.
pub(crate) fn io_error(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_path_buf();
    move |source| Error::Io { path, source }
}
