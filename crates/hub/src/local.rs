//! Models that are already on this machine.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    event::Source,
    hub::Resolved,
    layout::RepoFolder,
    name::HubName,
    select::{self, Selection},
};

/// An index larger than this is not read, in bytes.
const MAX_INDEX: u64 = 64 << 20;

/// A file or folder that the user named.
pub(crate) fn at_path(path: &Path) -> Result<Resolved> {
    let missing = |_| Error::PathMissing { path: path.to_owned() };
    let metadata = fs::metadata(path).map_err(missing)?;
    let mut files = vec![path.to_owned()];
    if metadata.is_dir() {
        let entries = fs::read_dir(path).map_err(Error::io("list", path))?;
        files = entries.flatten().map(|it| it.path()).filter(|it| it.is_file()).collect();
        files.sort();
    }
    let bytes = files.iter().filter_map(|it| fs::metadata(it).ok()).map(|it| it.len()).sum();
    let (path, source) = (path.to_owned(), Source::Path);
    Ok(Resolved { path, files, source, bytes, licence: None, sampling: None })
}

/// A snapshot in the Hub cache, if all files of the selection are there.
///
/// # Errors
/// [`Error::Ambiguous`] when the snapshot holds several matching models.
pub(crate) fn in_hub_cache(cache: &Path, name: &HubName) -> Result<Option<Resolved>> {
    let folder = RepoFolder::new(cache, &name.repo);
    let Some(commit) = folder.commit_of(name.revision()) else { return Ok(None) };
    let present: Vec<String> = folder.files(&commit).into_iter().map(|(path, _)| path).collect();
    let label = name.to_string();
    let selection = match select::select(&label, &present, name.filter.as_deref()) {
        Ok(selection) => selection,
        // What is missing here may be on the Hub.
        Err(Error::NoModel { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let snapshot = folder.snapshot(&commit);
    let mut files = selection.files();
    if selection.is_indexed() {
        let Ok(shards) = read_shards(&label, &snapshot.join(select::INDEX)) else {
            return Ok(None);
        };
        if shards.iter().any(|it| !present.contains(it)) {
            return Ok(None);
        }
        files.extend(shards);
    }
    let source = Source::HubCache { repo: name.repo.to_string() };
    Ok(Some(resolved(&snapshot, &selection, files, source)))
}

/// The shards that an index file names.
pub(crate) fn read_shards(name: &str, index: &Path) -> Result<Vec<String>> {
    let size = fs::metadata(index).map_err(Error::io("read", index))?.len();
    if size > MAX_INDEX {
        let reason = format!("{} has {size} bytes, more than {MAX_INDEX}", select::INDEX);
        return Err(Error::NoModel { name: name.to_owned(), reason });
    }
    select::shards(name, &fs::read(index).map_err(Error::io("read", index))?)
}

/// Describes the chosen files of a snapshot, all of which are present.
pub(crate) fn resolved(
    snapshot: &Path,
    selection: &Selection,
    mut files: Vec<String>,
    source: Source,
) -> Resolved {
    files.sort();
    files.dedup();
    let files: Vec<PathBuf> = files.iter().map(|it| snapshot.join(it)).collect();
    let bytes = files.iter().filter_map(|it| fs::metadata(it).ok()).map(|it| it.len()).sum();
    let path = match selection {
        Selection::Gguf(file) => snapshot.join(file),
        Selection::Folder(_) => snapshot.to_owned(),
    };
    Resolved { path, files, source, bytes, licence: None, sampling: None }
}
