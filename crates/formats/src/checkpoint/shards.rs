//! The shards of an index, opened as one.

use std::path::{Path, PathBuf};

use super::select::{Wanted, select};
use crate::{
    Error, Result, Tensor,
    error::quote,
    map::Mapped,
    safetensors::{File, Index},
};

/// The weight files of a checkpoint.
pub(super) struct Set {
    pub(super) files: Vec<PathBuf>,
    pub(super) mapped: Vec<Mapped>,
    pub(super) writer: Option<String>,
    /// Names of tensors that were not wanted, sorted.
    pub(super) left_out: Vec<String>,
}

/// Opens every shard that the index in `folder` names.
///
/// A tensor is taken from the shard the index gives for it; one the index does not list is taken
/// from where it is found. All that are wanted must be there, and none may remain twice. A shard for
/// which the index lists nothing wanted is not looked at.
pub(super) fn open(folder: &Path, path: &Path, wanted: Wanted) -> Result<(Set, Vec<Tensor>)> {
    let index = Index::open(path)?;
    let mut set = Set { files: Vec::new(), mapped: Vec::new(), writer: None, left_out: Vec::new() };
    let mut needed = vec![false; index.shards.len()];
    for (name, &shard) in &index.tensors {
        match wanted(name) {
            true => needed[shard] = true,
            false => set.left_out.push(name.clone()),
        }
    }
    let mut tensors = Vec::new();
    for (number, shard) in index.shards.iter().enumerate().filter(|&(number, _)| needed[number]) {
        let file = folder.join(shard);
        if !file.exists() {
            let shard = quote(&shard.display().to_string());
            return Err(Error::MissingShard { path: path.into(), shard });
        }
        let (mut contents, mapped) = File::map(&file)?;
        set.left_out.extend(select(&mapped, &mut contents.tensors, wanted)?);
        let here = |name: &str| index.tensors.get(name).is_none_or(|&shard| shard == number);
        tensors.extend(contents.tensors.into_iter().filter(|tensor| here(&tensor.name)));
        set.writer = set.writer.or_else(|| contents.metadata.get("format").cloned());
        set.files.push(file);
        set.mapped.push(mapped);
    }
    tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let name = quote(&pair[0].name);
        return Err(Error::Duplicate { path: path.into(), what: "tensor", name });
    }
    set.left_out.sort_unstable();
    set.left_out.dedup();
    for (name, &shard) in index.tensors.iter().filter(|(name, _)| wanted(name)) {
        if crate::find(&tensors, name).is_none() {
            let path = folder.join(&index.shards[shard]);
            return Err(Error::MissingTensor { path, tensor: quote(name) });
        }
    }
    Ok((set, tensors))
}
