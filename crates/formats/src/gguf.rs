//! The GGUF format, versions 2 and 3, little-endian.
//!
//! ```text
//! "GGUF" | u32 version | u64 tensors | u64 pairs | pairs | tensor infos | padding | data
//! ```
//!
//! Follows ggml's `docs/gguf.md`. Dimensions are stored innermost first and are turned here.

mod cursor;
mod infos;
mod metadata;
mod strings;
mod types;
mod value;
mod write;

use std::path::Path;

use crate::{Bytes, Error, Result, Tensor, map::Mapped};

use cursor::Cursor;
pub use metadata::Metadata;
pub use strings::Strings;
pub use types::{type_number, type_of};
pub use value::{Array, Value};
pub use write::Writer;

/// The first four bytes of every GGUF file.
pub(crate) const MAGIC: &[u8; 4] = b"GGUF";

/// Alignment of tensor data where `general.alignment` is silent, in bytes.
const DEFAULT_ALIGNMENT: u64 = 32;

/// Largest alignment accepted, in bytes: above every page size in use.
const LARGEST_ALIGNMENT: u64 = 1 << 20;

/// The metadata key that overrides the alignment.
const ALIGNMENT_KEY: &str = "general.alignment";

/// One GGUF file.
#[derive(Debug, Clone)]
pub struct Gguf {
    /// Format version: 2 or 3.
    pub version: u32,
    /// Key-value pairs.
    pub metadata: Metadata,
    /// The tensors, sorted by name.
    pub tensors: Vec<Tensor>,
}

impl Gguf {
    /// Maps a file and reads its metadata and tensor descriptions.
    pub fn open(path: &Path) -> Result<Self> {
        Self::map(path).map(|(gguf, _)| gguf)
    }

    pub(crate) fn map(path: &Path) -> Result<(Self, Mapped)> {
        let (mapped, bytes) = Mapped::open(path)?;
        Ok((Self::parse(bytes, path)?, mapped))
    }

    /// Reads a file given as bytes. `path` names it in errors.
    ///
    /// # Errors
    ///
    /// Everything the format forbids, parts of split files, tensor types this crate does not know,
    /// tensors that overlap or leave the file, and the limits of this crate: 256 MiB of metadata
    /// and descriptions, 65,536 pairs, a million tensors, 4 dimensions, 1 MiB of alignment.
    pub fn parse(bytes: Bytes, path: &Path) -> Result<Self> {
        let mut cursor = Cursor::new(&bytes, path);
        if cursor.array::<4>("the magic number")? != *MAGIC {
            return Err(cursor.malformed("not a GGUF file: it does not begin with \"GGUF\""));
        }
        let version = cursor.u32("the version")?;
        // A small number read with its bytes in the wrong order has its low half empty.
        if version != 0 && version & 0xffff == 0 {
            return Err(Error::BigEndian { path: path.into() });
        }
        if !(2..=3).contains(&version) {
            return Err(Error::Version { path: path.into(), version });
        }
        let tensors = cursor.count("number of tensors", infos::SMALLEST, infos::MOST)?;
        let pairs = cursor.count("number of metadata pairs", metadata::SMALLEST, metadata::MOST)?;
        let metadata = Metadata::read(&mut cursor, pairs)?;
        let count = metadata.opt_u64("split.count")?.unwrap_or(0);
        if count > 1 {
            return Err(Error::SplitGguf { path: path.into(), count });
        }
        let alignment = alignment(&metadata)?;
        let infos = infos::read(&mut cursor, tensors)?;
        let data = cursor.position().next_multiple_of(alignment);
        let tensors = infos::place(infos, &bytes, data, alignment, path)?;
        Ok(Self { version, metadata, tensors })
    }

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        crate::find(&self.tensors, name)
    }
}

/// The alignment the metadata asks for.
fn alignment(metadata: &Metadata) -> Result<u64> {
    let alignment = metadata.opt_u64(ALIGNMENT_KEY)?.unwrap_or(DEFAULT_ALIGNMENT);
    if !alignment.is_power_of_two() || alignment > LARGEST_ALIGNMENT {
        let problem =
            format!("{alignment} is not a power of two from 1 to {LARGEST_ALIGNMENT} bytes");
        return Err(metadata.error(ALIGNMENT_KEY, problem));
    }
    Ok(alignment)
}
