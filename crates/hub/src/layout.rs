//! The Hub cache on disk, as Python's `huggingface_hub` lays it out:
//!
//! ```text
//! models--org--repo/
//!   refs/main                      the commit that `main` was, as text
//!   blobs/<etag>                   every file once, named by its digest
//!   snapshots/<commit>/<file>      relative links into blobs
//! .locks/models--org--repo/<etag>.lock
//! ```

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

use crate::{
    digest::Digest,
    error::{Error, Result},
    name::RepoId,
};

/// The folders of one repository within a Hub cache.
#[derive(Clone, Debug)]
pub(crate) struct RepoFolder {
    cache: PathBuf,
    folder: String,
}

impl RepoFolder {
    pub(crate) fn new(cache: &Path, repo: &RepoId) -> Self {
        Self { cache: cache.to_owned(), folder: repo.folder() }
    }

    /// `models--org--repo`.
    pub(crate) fn root(&self) -> PathBuf {
        self.cache.join(&self.folder)
    }

    /// The folder of all blobs.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.root().join("blobs")
    }

    /// One blob.
    pub(crate) fn blob(&self, digest: &Digest) -> PathBuf {
        self.blobs().join(digest.hex())
    }

    /// The folder of all snapshots.
    pub(crate) fn snapshots(&self) -> PathBuf {
        self.root().join("snapshots")
    }

    /// One commit's files.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.snapshots().join(commit)
    }

    /// The folder of this repository's locks.
    pub(crate) fn locks(&self) -> PathBuf {
        self.cache.join(".locks").join(&self.folder)
    }

    /// The lock of one blob.
    pub(crate) fn lock(&self, digest: &Digest) -> PathBuf {
        self.locks().join(format!("{}.lock", digest.hex()))
    }

    /// The commit a revision stood for when it was last fetched.
    pub(crate) fn commit_of(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_owned());
        }
        let text = fs::read_to_string(self.root().join("refs").join(revision)).ok()?;
        Some(text.trim().to_owned()).filter(|it| is_commit(it))
    }

    /// Records the commit that a revision stands for.
    pub(crate) fn write_ref(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) {
            return Ok(());
        }
        let path = self.root().join("refs").join(revision);
        let parent = path.parent().unwrap_or(&path).to_owned();
        fs::create_dir_all(&parent).map_err(Error::io("create", &parent))?;
        // The temporary name holds the commit, so whoever else writes it writes the same text.
        let temporary = parent.join(format!(".{commit}.tmp"));
        fs::write(&temporary, commit).map_err(Error::io("write", &temporary))?;
        match fs::rename(&temporary, &path) {
            Err(_) if self.commit_of(revision).as_deref() == Some(commit) => Ok(()),
            outcome => outcome.map_err(Error::io("write", path)),
        }
    }

    /// Makes `snapshots/<commit>/<file>` point at its blob.
    pub(crate) fn link(&self, commit: &str, file: &str, digest: &Digest) -> Result<()> {
        let link = self.snapshot(commit).join(file);
        let parent = link.parent().unwrap_or(&link).to_owned();
        fs::create_dir_all(&parent).map_err(Error::io("create", parent))?;
        // Up from the file's folder to the repository: its own depth, the commit and `snapshots`.
        let mut target = PathBuf::from("../".repeat(file.matches('/').count() + 2));
        target.push("blobs");
        target.push(digest.hex());
        match std::os::unix::fs::symlink(&target, &link) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_link(&link).is_ok_and(|it| it == target) {
                    return Ok(());
                }
                // A commit's content never changes, so this is debris: a copy, a broken link.
                fs::remove_file(&link).map_err(Error::io("replace", &link))?;
                std::os::unix::fs::symlink(&target, &link).map_err(Error::io("create", link))
            }
            outcome => outcome.map_err(Error::io("create", link)),
        }
    }

    /// The files of a snapshot whose blobs are present, as `/`-separated paths with sizes, sorted.
    pub(crate) fn files(&self, commit: &str) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        walk(&self.snapshot(commit), "", 4, &mut found);
        found.sort();
        found
    }
}

/// Collects regular files (through links) below `folder`, at most `depth` folders down.
fn walk(folder: &Path, prefix: &str, depth: usize, found: &mut Vec<(String, u64)>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let Ok(metadata) = fs::metadata(entry.path()) else { continue };
        let path = format!("{prefix}{name}");
        if metadata.is_file() {
            found.push((path, metadata.len()));
        } else if depth > 0 {
            walk(&entry.path(), &format!("{path}/"), depth - 1, found);
        }
    }
}

/// Whether a text is a full git commit.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a file name from outside stays below the folder it is joined to.
pub(crate) fn is_safe(file: &str) -> bool {
    let normal = |it: Component<'_>| matches!(it, Component::Normal(_));
    let plain = !file.chars().any(|it| it.is_control() || it == '\\');
    let tidy = !file.contains("//") && !file.contains("/./") && !file.ends_with('/');
    !file.is_empty()
        && file.len() <= 512
        && plain
        && tidy
        && Path::new(file).components().all(normal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_do_not_leave_the_folder() {
        for bad in ["", "/etc/x", "../x", "a/../b", "a//b", "a/", "./a", "a\\b", "a\0b", "a/./b"] {
            assert!(!is_safe(bad), "{bad:?}");
        }
        assert!(is_safe("config.json") && is_safe("sub/model.safetensors") && is_safe("a..b"));
    }

    #[test]
    fn links_resolve_at_every_depth_and_refs_read_back() {
        let cache = tempfile::tempdir().expect("temporary folder");
        let repo = RepoId::new("org/repo").expect("sound");
        let folder = RepoFolder::new(cache.path(), &repo);
        let digest = Digest::parse(&"a".repeat(64)).expect("hex");
        let commit = "b".repeat(40);
        fs::create_dir_all(folder.blobs()).expect("created");
        fs::write(folder.blob(&digest), b"four").expect("written");
        for file in ["model.gguf", "sub/deep/model.gguf"] {
            folder.link(&commit, file, &digest).expect("linked");
            folder.link(&commit, file, &digest).expect("linked twice");
            assert_eq!(fs::read(folder.snapshot(&commit).join(file)).expect("read"), b"four");
        }
        assert_eq!(folder.files(&commit).len(), 2);
        folder.write_ref("refs/pr/1", &commit).expect("written");
        assert_eq!(folder.commit_of("refs/pr/1"), Some(commit.clone()));
        assert_eq!(folder.commit_of("other"), None);
    }
}
