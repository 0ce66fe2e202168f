//! Tensor descriptions, and where their data lies.

use std::path::Path;

use super::{cursor::Cursor, types};
use crate::{Bytes, Dtype, Error, Result, Tensor, error::quote};

/// Bytes of the smallest description: an empty name, no dimension, a type and an offset.
pub(super) const SMALLEST: u64 = 8 + 4 + 4 + 8;

/// Most tensors accepted. The largest models have some ten thousand.
pub(super) const MOST: u64 = 1_000_000;

/// Most dimensions the format allows.
const MOST_DIMENSIONS: u32 = 4;

/// Longest tensor name accepted, in bytes. ggml itself stops at 63.
const LONGEST_NAME: u64 = 1024;

/// A tensor's description.
pub(super) struct Info {
    name: String,
    dtype: Dtype,
    /// Outermost first.
    shape: Vec<usize>,
    /// Where the data begins, from the start of all data.
    offset: u64,
    /// Bytes of data.
    len: usize,
}

/// Reads `count` descriptions.
pub(super) fn read(cursor: &mut Cursor<'_>, count: usize) -> Result<Vec<Info>> {
    (0..count).map(|_| read_one(cursor)).collect()
}

fn read_one(cursor: &mut Cursor<'_>) -> Result<Info> {
    let name = cursor.string("a tensor's name", LONGEST_NAME)?;
    let path = cursor.path;
    let wrong = |problem| Error::Tensor { path: path.into(), tensor: quote(&name), problem };

    let dimensions = cursor.u32("a tensor's number of dimensions")?;
    if dimensions > MOST_DIMENSIONS {
        return Err(wrong(format!("{dimensions} dimensions, the limit is {MOST_DIMENSIONS}")));
    }
    let mut shape = Vec::with_capacity(dimensions as usize);
    for _ in 0..dimensions {
        let dimension = cursor.u64("a tensor's dimension")?;
        match usize::try_from(dimension) {
            Ok(size) if size > 0 => shape.push(size),
            _ => return Err(wrong(format!("a dimension of {dimension}"))),
        }
    }
    shape.reverse();

    let number = cursor.u32("a tensor's type")?;
    let Some(dtype) = types::type_of(number) else {
        return Err(Error::GgufType { path: path.into(), tensor: quote(&name), number });
    };
    let (block, row) = (dtype.block().0, shape.last().copied().unwrap_or(1));
    if row % block != 0 {
        return Err(wrong(format!("rows of {row} do not divide into {dtype:?} blocks of {block}")));
    }
    let Some(len) = dtype.bytes(&shape) else {
        return Err(wrong(format!("the size of {dtype:?} of shape {shape:?} overflows")));
    };
    let offset = cursor.u64("a tensor's offset")?;
    Ok(Info { name, dtype, shape, offset, len })
}

/// Cuts the tensors out of the file and sorts them by name.
///
/// `data` is where all data begins. Offsets must be multiples of `alignment`; data may come in any
/// order and leave gaps, but must lie in the file and not overlap.
pub(super) fn place(
    mut infos: Vec<Info>,
    bytes: &Bytes,
    data: u64,
    alignment: u64,
    path: &Path,
) -> Result<Vec<Tensor>> {
    let wrong =
        |name: &str, problem| Error::Tensor { path: path.into(), tensor: quote(name), problem };
    infos.sort_unstable_by_key(|info| info.offset);
    let mut tensors: Vec<Tensor> = Vec::with_capacity(infos.len());
    let mut free = 0;
    for Info { name, dtype, shape, offset, len } in infos {
        if offset % alignment != 0 {
            let problem = format!("offset {offset} is not a multiple of the alignment {alignment}");
            return Err(wrong(&name, problem));
        }
        if let Some(before) = tensors.last().filter(|_| offset < free) {
            let before = quote(&before.name);
            return Err(wrong(&name, format!("offset {offset} lies inside tensor {before}")));
        }
        let start = data.checked_add(offset).and_then(|start| usize::try_from(start).ok());
        let Some(slice) = start.and_then(|start| bytes.slice(start, len)) else {
            return Err(Error::Truncated {
                path: path.into(),
                what: format!("tensor {} at offset {offset}", quote(&name)),
                needs: len as u64,
                has: (bytes.len() as u64).saturating_sub(data.saturating_add(offset)),
            });
        };
        // It lies in the file, so this cannot overflow.
        free = offset + len as u64;
        tensors.push(Tensor { name, dtype, shape, bytes: slice });
    }
    tensors.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].name == pair[1].name) {
        let name = quote(&pair[0].name);
        return Err(Error::Duplicate { path: path.into(), what: "tensor", name });
    }
    Ok(tensors)
}
