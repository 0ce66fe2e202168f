//! Free disk space, asked before a download rather than found out in the middle of one.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use crate::error::{Error, Result};

/// Tells how much may still be written below a folder.
pub trait FreeSpace: fmt::Debug + Send + Sync {
    /// Bytes available to this user on the file system of `path`, which exists.
    ///
    /// # Errors
    /// Whatever the system says.
    fn available(&self, path: &Path) -> io::Result<u64>;
}

/// The operating system's answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemSpace;

impl FreeSpace for SystemSpace {
    fn available(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

/// Fails unless `needed` bytes fit below `folder` (which need not exist yet).
pub(crate) fn check(probe: &dyn FreeSpace, folder: &Path, needed: u64) -> Result<()> {
    let existing = folder.ancestors().find(|it| it.exists()).unwrap_or(Path::new("/"));
    let available =
        probe.available(existing).map_err(Error::io("ask the free space of", existing))?;
    match needed <= available {
        true => Ok(()),
        false => Err(Error::DiskFull { path: PathBuf::from(folder), needed, available }),
    }
}

/// Turns "no space left" met while writing into [`Error::DiskFull`]; other errors keep their form.
pub(crate) fn write_error(path: &Path, remaining: u64, source: io::Error) -> Error {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::DiskFull { path: path.to_owned(), needed: remaining, available: 0 }
        }
        _ => Error::Io { action: "write", path: path.to_owned(), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_the_nearest_folder_that_exists() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let deep = folder.path().join("not/yet/there");
        check(&SystemSpace, &deep, 1).expect("one byte fits");
        let error = check(&SystemSpace, &deep, u64::MAX).expect_err("cannot fit");
        assert!(matches!(error, Error::DiskFull { needed: u64::MAX, .. }), "{error}");
    }
}
