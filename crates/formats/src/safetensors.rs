//! The safetensors format: a JSON header, then the bytes of every tensor.
//!
//! ```text
//! u64 header length | JSON {"name": {"dtype", "shape", "data_offsets"}, ...} | data
//! ```
//!
//! The format is that of the `safetensors` crate; what it leaves open (names that appear twice,
//! number of tensors, rank) is bounded here. The crate still writes files and names types.

mod header;
mod index;
mod write;

use std::{collections::BTreeMap, path::Path};

use crate::{Bytes, Error, Result, Tensor, error::quote, map::Mapped};

pub use index::Index;
pub use write::write;

/// Longest header accepted, in bytes: the limit of the `safetensors` crate.
const LONGEST_HEADER: u64 = 100_000_000;

/// Most tensors accepted in a checkpoint. The largest have some hundred thousand.
const MOST_TENSORS: usize = 1_000_000;

/// One safetensors file.
#[derive(Debug, Clone)]
pub struct File {
    /// The `__metadata__` strings; `format` tells who wrote the file (`pt`, `mlx`).
    pub metadata: BTreeMap<String, String>,
    /// The tensors, sorted by name.
    ///
    /// The format does not align them: decode elements with `from_le_bytes`.
    pub tensors: Vec<Tensor>,
}

impl File {
    /// Maps a file and reads its header.
    pub fn open(path: &Path) -> Result<Self> {
        Self::map(path).map(|(file, _)| file)
    }

    pub(crate) fn map(path: &Path) -> Result<(Self, Mapped)> {
        let (mapped, bytes) = Mapped::open(path)?;
        Ok((Self::parse(bytes, path)?, mapped))
    }

    /// Reads the header of a file given as bytes. `path` names it in errors.
    ///
    /// # Errors
    ///
    /// Anything the format forbids, among it bytes that no tensor or more than one tensor covers,
    /// and the limits of this crate: a header of 100 MB, a million tensors, 4096 metadata
    /// strings, 8 dimensions.
    pub fn parse(bytes: Bytes, path: &Path) -> Result<Self> {
        let header = header::read(&bytes, path)?;
        let mut end = 0;
        let mut tensors = Vec::with_capacity(header.entries.len());
        for (name, entry) in header.entries {
            let wrong = |problem: String| Error::Tensor {
                path: path.into(),
                tensor: quote(&name),
                problem,
            };
            let (dtype, shape) = (entry.dtype(&name, path)?, entry.shape.0);
            let [start, stop] = entry.data_offsets;
            let Some(len) = dtype.bytes(&shape) else {
                return Err(wrong(format!("the size of shape {shape:?} overflows")));
            };
            if start != end || stop.checked_sub(start) != Some(len as u64) {
                return Err(wrong(format!(
                    "bytes {start}..{stop} do not follow byte {end} or do not hold {len} bytes, as \
                     {dtype:?} of shape {shape:?} needs"
                )));
            }
            end = stop;
            let data = usize::try_from(start).ok().and_then(|s| s.checked_add(header.data));
            let Some(data) = data.and_then(|start| bytes.slice(start, len)) else {
                let has = bytes.len() as u64;
                let what = format!("tensor {}", quote(&name));
                let needs = stop.saturating_add(header.data as u64);
                return Err(Error::Truncated { path: path.into(), what, needs, has });
            };
            tensors.push(Tensor { name, dtype, shape, bytes: data });
        }
        let data = (bytes.len() - header.data) as u64;
        if end != data {
            let problem = format!("tensors cover {end} of {data} bytes of data");
            return Err(Error::Malformed { path: path.into(), problem });
        }
        tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { metadata: header.metadata, tensors })
    }
}
