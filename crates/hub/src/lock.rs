//! Advisory file locks between processes, and between tasks of one process.
//!
//! A lock is an empty file held with `flock`, as Python's `filelock` does, so both libraries keep
//! out of each other's way. The system frees it when its holder dies; the file itself stays.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::error::{Error, Result};

/// A held lock; dropping it frees it.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock at once, or returns `None` when another holder has it.
    pub(crate) fn try_take(path: &Path) -> Result<Option<Self>> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        let file = File::options().create(true).append(true).open(path);
        let file = file.map_err(Error::io("open", path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(Error::io("lock", path)(error)),
        }
    }

    /// Waits for the lock; `waiting` is called once if it is not free at once.
    ///
    /// Polls, because a blocking `flock` on a thread could not be cancelled by dropping the future.
    pub(crate) async fn take(
        path: PathBuf,
        limit: Duration,
        waiting: impl FnOnce(),
    ) -> Result<Self> {
        if let Some(lock) = Self::try_take(&path)? {
            return Ok(lock);
        }
        waiting();
        let start = Instant::now();
        loop {
            tokio::time::sleep(Duration::from_millis(50).min(limit)).await;
            if let Some(lock) = Self::try_take(&path)? {
                return Ok(lock);
            }
            if start.elapsed() >= limit {
                return Err(Error::Locked { path, waited: start.elapsed() });
            }
        }
    }
}
