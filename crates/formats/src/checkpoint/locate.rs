//! Which files make up the checkpoint at a path.

use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use crate::{Error, Result, gguf, map::io_error};

/// Most entries of a folder that are looked at.
const MOST_ENTRIES: usize = 65_536;

/// What was found.
pub(super) enum Layout {
    Gguf(PathBuf),
    /// One safetensors file.
    Single(PathBuf),
    /// An index of shards.
    Sharded(PathBuf),
}

/// Finds the weights at a path, in the order in which transformers looks for them.
pub(super) fn locate(path: &Path) -> Result<Layout> {
    let kind = std::fs::metadata(path).map_err(io_error(path))?;
    if kind.is_file() {
        return locate_file(path);
    }
    if !kind.is_dir() {
        return Err(Error::NotRegularFile { path: path.into() });
    }
    let single = path.join("model.safetensors");
    if single.exists() {
        return Ok(Layout::Single(single));
    }
    let index = path.join("model.safetensors.index.json");
    if index.exists() {
        return Ok(Layout::Sharded(index));
    }
    let entries = entries(path)?;
    let with = |extension: &str| -> Vec<&PathBuf> {
        let matches = |file: &&PathBuf| file.extension().is_some_and(|e| e == extension);
        entries.iter().filter(matches).collect()
    };
    match (&with("safetensors")[..], &with("gguf")[..]) {
        ([file], _) if path.join("config.json").exists() => Ok(Layout::Single((*file).clone())),
        (_, [file]) => Ok(Layout::Gguf((*file).clone())),
        (_, [first, second, ..]) => Err(Error::NotCheckpoint {
            path: path.into(),
            problem: format!(
                "several GGUF files ({}, {}, …): name one of them",
                first.display(),
                second.display()
            ),
        }),
        _ => Err(Error::NotCheckpoint {
            path: path.into(),
            problem: "no model here: expected config.json with model.safetensors or \
                      model.safetensors.index.json, or one .gguf file"
                .into(),
        }),
    }
}

/// A file is a GGUF by its first bytes, whatever its name: the Hub's cache names files by hash.
fn locate_file(path: &Path) -> Result<Layout> {
    let mut magic = Vec::new();
    let file = File::open(path).map_err(io_error(path))?;
    file.take(4).read_to_end(&mut magic).map_err(io_error(path))?;
    if magic == gguf::MAGIC {
        return Ok(Layout::Gguf(path.into()));
    }
    Err(Error::NotCheckpoint {
        path: path.into(),
        problem: "not a GGUF file; for safetensors give the folder that holds config.json".into(),
    })
}

/// The files of a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io_error(folder))?.take(MOST_ENTRIES) {
        entries.push(entry.map_err(io_error(folder))?.path());
    }
    entries.sort();
    Ok(entries)
}
