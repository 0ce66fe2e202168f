//! `model.safetensors.index.json`: which shard holds which tensor.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use serde::Deserialize;

use super::MOST_TENSORS;
use crate::{
    Error, Result,
    error::{brief, quote},
    map,
    pairs::Pairs,
};

/// Largest index accepted, in bytes: room for a million tensors.
const LARGEST_FILE: u64 = 128 << 20;

/// Most shards accepted.
const MOST_SHARDS: usize = 4096;

/// A sharded checkpoint's table of contents.
#[derive(Debug, Clone)]
pub struct Index {
    /// Shard file names, sorted: relative paths that stay inside the checkpoint's folder.
    pub shards: Vec<PathBuf>,
    /// The shard, as a position in `shards`, of every tensor.
    pub tensors: BTreeMap<String, usize>,
}

impl Index {
    /// Reads an index of at most 128 MiB.
    pub fn open(path: &Path) -> Result<Self> {
        Self::parse(&map::read(path, LARGEST_FILE)?, path)
    }

    /// Reads an index given as bytes. `path` names it in errors.
    ///
    /// # Errors
    ///
    /// [`Error::UnsafeShard`] when a shard's name is not a plain path inside the folder (absolute,
    /// `..`, a backslash) or no `.safetensors` file, [`Error::Duplicate`] when a tensor appears
    /// twice, [`Error::Limit`] above 4096 shards, [`Error::Malformed`] above a million tensors.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let malformed = |problem| Error::Malformed { path: path.into(), problem };
        let document: Document = serde_json::from_slice(bytes)
            .map_err(|error| malformed(format!("the index cannot be read: {}", brief(&error))))?;
        let mut pairs = document.weight_map.0;
        if pairs.is_empty() {
            return Err(malformed("the index names no tensor".into()));
        }
        pairs.sort_unstable();
        if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let name = quote(&pair[0].0);
            return Err(Error::Duplicate { path: path.into(), what: "tensor", name });
        }
        let mut numbers: BTreeMap<&str, usize> = BTreeMap::new();
        numbers.extend(pairs.iter().map(|(_, shard)| (shard.as_str(), 0)));
        if numbers.len() > MOST_SHARDS {
            let (value, limit) = (numbers.len() as u64, MOST_SHARDS as u64);
            let what = "number of shards".into();
            return Err(Error::Limit { path: path.into(), what, value, limit });
        }
        if let Some(shard) = numbers.keys().find(|shard| !stays_inside(shard)) {
            return Err(Error::UnsafeShard { path: path.into(), shard: quote(shard) });
        }
        numbers.values_mut().enumerate().for_each(|(number, slot)| *slot = number);
        let shards = numbers.keys().map(PathBuf::from).collect();
        let tensors = pairs.iter().map(|(name, s)| (name.clone(), numbers[s.as_str()])).collect();
        Ok(Self { shards, tensors })
    }
}

/// Whether a name from the index is a relative path that cannot leave the folder, on any system.
fn stays_inside(shard: &str) -> bool {
    shard.ends_with(".safetensors")
        && shard.len() <= 512
        && !shard.contains(['\\', ':', '\0'])
        && Path::new(shard).components().all(|part| matches!(part, Component::Normal(_)))
}

#[derive(Deserialize)]
struct Document {
    weight_map: Pairs<String, MOST_TENSORS>,
}
