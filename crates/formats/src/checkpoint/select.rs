//! Leaving tensors out.

use crate::{Result, Tensor, map::Mapped};

/// Says by its name whether a tensor is wanted.
pub(super) type Wanted<'a> = &'a dyn Fn(&str) -> bool;

/// Takes the tensors that are not wanted out of `tensors`, the contents of one file, and returns their
/// names. What stays is mapped anew, from its first byte to its last, and the rest of the file not at all.
pub(super) fn select(
    mapped: &Mapped,
    tensors: &mut Vec<Tensor>,
    wanted: Wanted,
) -> Result<Vec<String>> {
    let out: Vec<String> =
        tensors.extract_if(.., |tensor| !wanted(&tensor.name)).map(|tensor| tensor.name).collect();
    if out.is_empty() {
        return Ok(out);
    }
    let stored = || tensors.iter().map(|tensor| &tensor.bytes).filter(|bytes| !bytes.is_empty());
    let start = stored().map(|bytes| bytes.offset()).min();
    let end = stored().map(|bytes| bytes.offset() + bytes.len()).max();
    let (Some(start), Some(end)) = (start, end) else { return Ok(out) };
    let part = mapped.part(start, end)?;
    for tensor in tensors.iter_mut() {
        let (at, len) = (tensor.bytes.offset(), tensor.bytes.len());
        // Only a tensor without bytes can lie outside.
        let bytes = at.checked_sub(start).and_then(|at| part.slice(at, len));
        tensor.bytes = bytes.unwrap_or_else(|| Vec::new().into());
    }
    Ok(out)
}
