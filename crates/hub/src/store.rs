//! What is on this machine, and getting rid of it.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::{
    error::{Error, Result},
    hub::{Hub, has_size, hub_name},
    layout::RepoFolder,
    local,
    lock::Lock,
    name::{HubName, Name, RepoId},
    package, select,
};

/// Which cache a model lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Store {
    /// Unpacked from Python packages.
    Packages,
    /// The Hub's cache, shared with Python.
    Hub,
}

/// A model on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalModel {
    /// A name that [`Hub::resolve`] and [`Hub::remove`] understand.
    pub name: String,
    /// The cache it lies in.
    pub store: Store,
    /// The file, or the folder of the newest snapshot.
    pub path: PathBuf,
    /// The files of that snapshot.
    pub files: Vec<String>,
    /// Bytes on disk, unfinished downloads included.
    pub bytes: u64,
    /// Bytes of unfinished downloads.
    pub unfinished: u64,
    /// Whether it holds weights of a kind that can be run.
    pub usable: bool,
}

impl Hub {
    /// Lists the models of both caches, sorted by name. Repositories that Python fetched and that
    /// hold other things are listed with `usable: false`.
    ///
    /// # Errors
    /// [`Error::Io`] when a cache exists but cannot be read.
    pub fn list(&self) -> Result<Vec<LocalModel>> {
        let options = self.options();
        let mut models = Vec::new();
        for entry in options.catalogue.entries() {
            let path = package::path(&options.package_cache, entry);
            let bytes = disk_usage(&package::folder(&options.package_cache, entry));
            let usable = has_size(&path, entry.bytes);
            if usable || bytes > 0 {
                models.push(LocalModel {
                    name: entry.name.clone(),
                    store: Store::Packages,
                    path,
                    files: vec![entry.file.clone()],
                    bytes,
                    unfinished: if usable { 0 } else { bytes },
                    usable,
                });
            }
        }
        for folder in names_in(&options.hub_cache)? {
            models.extend(RepoId::from_folder(&folder).map(|repo| self.describe(&repo)));
        }
        models.sort_by(|a, b| (&a.name, a.store).cmp(&(&b.name, b.store)));
        Ok(models)
    }

    fn describe(&self, repo: &RepoId) -> LocalModel {
        let folder = RepoFolder::new(&self.options().hub_cache, repo);
        let newest = || {
            let modified =
                |it: &String| fs::metadata(folder.snapshot(it)).and_then(|it| it.modified()).ok();
            names_in(&folder.snapshots()).unwrap_or_default().into_iter().max_by_key(modified)
        };
        let commit = folder.commit_of("main").or_else(newest).unwrap_or_default();
        let files: Vec<String> = folder.files(&commit).into_iter().map(|(path, _)| path).collect();
        let name = repo.to_string();
        let chosen = select::select(&name, &files, None);
        let blobs = names_in(&folder.blobs()).unwrap_or_default();
        let unfinished = blobs.iter().filter(|it| it.ends_with(".incomplete"));
        LocalModel {
            usable: matches!(chosen, Ok(_) | Err(Error::Ambiguous { .. })),
            path: folder.snapshot(&commit),
            bytes: disk_usage(&folder.root()),
            unfinished: unfinished.map(|it| disk_usage(&folder.blobs().join(it))).sum(),
            store: Store::Hub,
            name,
            files,
        }
    }

    /// Removes a model and returns the bytes freed.
    ///
    /// `org/repo` removes the repository with all revisions; with a revision or a filter only the
    /// files meant go, and blobs that another snapshot still uses stay. A short name removes its
    /// file from both caches.
    ///
    /// # Errors
    /// [`Error::NotRemovable`] for a path or for what is not here; [`Error::Locked`] while it is
    /// being fetched; [`Error::Ambiguous`].
    pub fn remove(&self, name: &Name) -> Result<u64> {
        let refuse = |reason: &str| {
            Err(Error::NotRemovable { name: name.to_string(), reason: reason.to_owned() })
        };
        let freed = match name {
            Name::Path(_) => return refuse("it is a path; delete the file yourself"),
            Name::Hub(name) => self.remove_hub(name)?,
            Name::Catalogue(short) => {
                let entry = self.entry(short)?;
                let mut freed = None;
                let folder = package::folder(&self.options().package_cache, entry);
                if folder.exists() {
                    refuse_if_held(&package::lock_path(&self.options().package_cache, entry))?;
                    freed = Some(disk_usage(&folder));
                    fs::remove_dir_all(&folder).map_err(Error::io("delete", &folder))?;
                    if let Some(versions) = folder.parent() {
                        // Refused by the system where another version is beside it.
                        let _ = fs::remove_dir(versions);
                    }
                }
                for origin in &entry.sources {
                    if let crate::Origin::Hub(repo) = origin
                        && let Some(more) = self.remove_hub(&hub_name(entry, repo)?)?
                    {
                        freed = Some(freed.unwrap_or(0) + more);
                    }
                }
                freed
            }
        };
        freed.map_or_else(|| refuse("it is not on this machine"), Ok)
    }

    /// `None` when there is nothing to remove.
    fn remove_hub(&self, name: &HubName) -> Result<Option<u64>> {
        let folder = RepoFolder::new(&self.options().hub_cache, &name.repo);
        if !folder.root().exists() {
            return Ok(None);
        }
        for lock in names_in(&folder.locks())? {
            refuse_if_held(&folder.locks().join(lock))?;
        }
        let before = disk_usage(&folder.root());
        let whole = name.revision.is_none() && name.filter.is_none();
        if !whole {
            if !unlink(&folder, name)? {
                return Ok(None);
            }
            collect_blobs(&folder)?;
        }
        if whole || names_in(&folder.snapshots())?.is_empty() {
            for gone in [folder.root(), folder.locks()].iter().filter(|it| it.exists()) {
                fs::remove_dir_all(gone).map_err(Error::io("delete", gone))?;
            }
        }
        Ok(Some(before.saturating_sub(disk_usage(&folder.root()))))
    }
}

/// Takes the files meant out of the snapshots meant; says whether there were any.
fn unlink(folder: &RepoFolder, name: &HubName) -> Result<bool> {
    let commits = match &name.revision {
        Some(revision) => folder.commit_of(revision).into_iter().collect(),
        None => names_in(&folder.snapshots())?,
    };
    let mut any = false;
    for commit in commits {
        let snapshot = folder.snapshot(&commit);
        let files: Vec<String> = folder.files(&commit).into_iter().map(|(path, _)| path).collect();
        let chosen = match &name.filter {
            None => files,
            Some(filter) => match select::select(&name.to_string(), &files, Some(filter)) {
                Ok(selection) => selection.files(),
                Err(Error::NoModel { .. }) => continue,
                Err(error) => return Err(error),
            },
        };
        any |= !chosen.is_empty();
        let mut gone = chosen.clone();
        if chosen.iter().any(|it| it == select::INDEX) {
            let index = snapshot.join(select::INDEX);
            gone.extend(local::read_shards(&name.to_string(), &index).unwrap_or_default());
        }
        for path in
            gone.iter().map(|it| snapshot.join(it)).filter(|it| it.symlink_metadata().is_ok())
        {
            fs::remove_file(&path).map_err(Error::io("delete", path))?;
        }
        if folder.files(&commit).is_empty() {
            fs::remove_dir_all(&snapshot).map_err(Error::io("delete", snapshot))?;
        }
    }
    Ok(any)
}

/// Deletes the blobs that no snapshot links to any more.
fn collect_blobs(folder: &RepoFolder) -> Result<()> {
    let mut used = BTreeSet::new();
    for commit in names_in(&folder.snapshots())? {
        let snapshot = folder.snapshot(&commit);
        for (file, _) in folder.files(&commit) {
            let target = fs::read_link(snapshot.join(file)).ok();
            used.extend(target.and_then(|it| Some(it.file_name()?.to_str()?.to_owned())));
        }
    }
    for blob in names_in(&folder.blobs())? {
        if !used.contains(&blob) {
            let path = folder.blobs().join(blob);
            fs::remove_file(&path).map_err(Error::io("delete", path))?;
        }
    }
    Ok(())
}

fn refuse_if_held(lock: &Path) -> Result<()> {
    match lock.exists() && Lock::try_take(lock)?.is_none() {
        true => Err(Error::Locked { path: lock.to_owned(), waited: Duration::ZERO }),
        false => Ok(()),
    }
}

/// The names in a folder, sorted; none if it does not exist.
fn names_in(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(Error::io("list", folder))?,
    };
    let mut names: Vec<String> =
        entries.flatten().filter_map(|it| it.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// Bytes of the regular files below a path, links not followed.
fn disk_usage(path: &Path) -> u64 {
    let Ok(metadata) = path.symlink_metadata() else { return 0 };
    if metadata.is_file() {
        return metadata.len();
    }
    if !metadata.is_dir() {
        return 0;
    }
    fs::read_dir(path).into_iter().flatten().flatten().map(|it| disk_usage(&it.path())).sum()
}
