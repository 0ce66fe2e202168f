//! Bounds on a `tokenizer.json`, checked before anything is built from it.

use std::{fs::File, io::Read, path::Path};

use serde_json::{Value, value::RawValue};

use crate::{Error, Result};

/// Largest file, in bytes. The largest real one has 35 MB.
pub(crate) const MAX_FILE: usize = 256 << 20;
/// Largest normaliser, pre-tokenizer, decoder or post-processor, in bytes of JSON.
const MAX_PART: usize = 4 << 20;
/// Deepest nesting of one; the `tokenizers` crate takes time exponential in the depth of some.
const MAX_DEPTH: usize = 12;
/// Most values in one.
const MAX_VALUES: usize = 20_000;

/// Fails when `value` is over `limit`.
pub(crate) fn check(origin: &str, what: &'static str, value: usize, limit: usize) -> Result<()> {
    if value <= limit {
        return Ok(());
    }
    let (value, limit) = (value as u64, limit as u64);
    Err(Error::TooLarge { origin: origin.into(), what, value, limit })
}

/// Reads a file of at most `limit` bytes.
pub(crate) fn read(path: &Path, limit: usize) -> Result<Vec<u8>> {
    let io = |source| Error::Io { origin: path.display().to_string(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(io)?;
    file.take(limit as u64 + 1).read_to_end(&mut bytes).map_err(io)?;
    check(&path.display().to_string(), "the size of the file, in bytes,", bytes.len(), limit)?;
    Ok(bytes)
}

/// Parses one part within the limits.
pub(crate) fn part(
    origin: &str,
    what: &'static str,
    raw: Option<&RawValue>,
) -> Result<Option<Value>> {
    let Some(raw) = raw else { return Ok(None) };
    check(origin, what, raw.get().len(), MAX_PART)?;
    let invalid = |detail| Error::Invalid { origin: origin.into(), what, detail };
    let value: Value = serde_json::from_str(raw.get()).map_err(|e| invalid(e.to_string()))?;
    let mut values = 0;
    if depth(&value, &mut values) > MAX_DEPTH {
        return Err(invalid(format!("nested deeper than {MAX_DEPTH} levels")));
    }
    if values > MAX_VALUES {
        return Err(invalid(format!("{values} values, over the limit of {MAX_VALUES}")));
    }
    Ok(Some(value).filter(|value| !value.is_null()))
}

/// Depth of nesting; counts values on the way. Recursion is bounded by serde_json's own limit.
fn depth(value: &Value, values: &mut usize) -> usize {
    *values += 1;
    let deepest = match value {
        Value::Array(list) => list.iter().map(|v| depth(v, values)).max(),
        Value::Object(map) => map.values().map(|v| depth(v, values)).max(),
        _ => return 0,
    };
    1 + deepest.unwrap_or(0)
}
