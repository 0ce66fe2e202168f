//! A file that is still arriving.
//!
//! Bytes go to `<name>.incomplete` beside the final file, which appears by a rename only once its
//! digest is right. The lock travels with the file, so a write that is still under way when its
//! download is cancelled finishes before anyone else may touch the file.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use crate::{
    digest::{Digest, Hasher},
    error::{Error, Result},
    lock::Lock,
    space,
};

/// The `.incomplete` file of one download. All methods block.
#[derive(Debug)]
pub(crate) struct Partial {
    /// What the file is called in messages.
    label: String,
    path: PathBuf,
    file: File,
    hasher: Hasher,
    done: u64,
    size: u64,
    digest: Digest,
    _lock: Option<Lock>,
}

impl Partial {
    /// The name of the unfinished form of `target`.
    pub(crate) fn path_of(target: &Path) -> PathBuf {
        let mut name = target.as_os_str().to_owned();
        name.push(".incomplete");
        PathBuf::from(name)
    }

    /// Opens or creates the unfinished form of `target`, hashing what is already there. Anything
    /// longer than `size` bytes is thrown away.
    pub(crate) fn open(
        label: String,
        target: &Path,
        digest: Digest,
        size: u64,
        lock: Option<Lock>,
    ) -> Result<Self> {
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        let path = Self::path_of(target);
        let options =
            File::options().read(true).write(true).create(true).truncate(false).open(&path);
        let file = options.map_err(Error::io("open", &path))?;
        let hasher = digest.hasher(size);
        let mut partial = Self { label, path, file, hasher, done: 0, size, digest, _lock: lock };
        let length = partial.file.metadata().map_err(Error::io("read", &partial.path))?.len();
        match length <= size {
            true => partial.hash_existing(length)?,
            false => partial.restart()?,
        }
        Ok(partial)
    }

    fn hash_existing(&mut self, length: u64) -> Result<()> {
        let mut buffer = vec![0; 1 << 18];
        while self.done < length {
            let room = buffer.len().min(usize::try_from(length - self.done).unwrap_or(usize::MAX));
            let count =
                self.file.read(&mut buffer[..room]).map_err(Error::io("read", &self.path))?;
            if count == 0 {
                break;
            }
            self.hasher.update(&buffer[..count]);
            self.done += count as u64;
        }
        Ok(())
    }

    /// Bytes on disk.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Bytes wanted.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Forgets everything that has arrived.
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.file.set_len(0).map_err(Error::io("empty", &self.path))?;
        self.file.rewind().map_err(Error::io("empty", &self.path))?;
        self.hasher = self.digest.hasher(self.size);
        self.done = 0;
        Ok(())
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// [`Error::WrongSize`] past the promised size (the file is deleted), [`Error::DiskFull`].
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.done + bytes.len() as u64;
        if end > self.size {
            self.delete()?;
            let (file, expected) = (self.label.clone(), self.size);
            return Err(Error::WrongSize { file, expected, actual: end });
        }
        if let Err(error) = self.file.write_all(bytes) {
            // Part of the bytes may have reached the file; cut back to what has been hashed.
            self.file.set_len(self.done).ok();
            return Err(space::write_error(&self.path, self.size - self.done, error));
        }
        self.hasher.update(bytes);
        self.done = end;
        Ok(())
    }

    /// Checks length and digest and gives the file its final name.
    ///
    /// # Errors
    /// [`Error::WrongSize`] and [`Error::WrongHash`], both after deleting the file.
    pub(crate) fn finish(self, target: &Path) -> Result<()> {
        let file = self.label.clone();
        if self.done != self.size {
            self.delete()?;
            return Err(Error::WrongSize { file, expected: self.size, actual: self.done });
        }
        let actual = self.hasher.clone().finish();
        if actual != self.digest {
            self.delete()?;
            let expected = self.digest.to_string();
            return Err(Error::WrongHash { file, expected, actual: actual.to_string() });
        }
        let sync = self.file.sync_all();
        sync.map_err(|error| space::write_error(&self.path, 0, error))?;
        fs::rename(&self.path, target).map_err(Error::io("rename", &self.path))
    }

    fn delete(&self) -> Result<()> {
        fs::remove_file(&self.path).map_err(Error::io("delete", &self.path))
    }
}
