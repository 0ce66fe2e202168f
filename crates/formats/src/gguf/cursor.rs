//! A bounded reader over the head of a file.

use std::path::Path;

use crate::{Error, Result, error::quote};

/// Most bytes that metadata and tensor descriptions may take. Vocabularies make them large: a
/// quarter of a million pieces with scores and merges take some 20 MB.
const LONGEST_HEAD: usize = 256 << 20;

/// Most arrays inside arrays, in a whole file. No known file has any.
const MOST_NESTED: u64 = 4096;

/// Bytes of the smallest array: its type and its length.
const SMALLEST_ARRAY: u64 = 4 + 8;

/// Reads little-endian numbers and strings, never past the end or the limit.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    nested: u64,
    pub(super) path: &'a Path,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a [u8], path: &'a Path) -> Self {
        Self { bytes, at: 0, nested: 0, path }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.at as u64
    }

    /// Bytes that may still be read.
    fn left(&self) -> usize {
        self.bytes.len().min(LONGEST_HEAD) - self.at
    }

    pub(super) fn malformed(&self, problem: impl Into<String>) -> Error {
        Error::Malformed { path: self.path.into(), problem: problem.into() }
    }

    /// The error for something that needs more bytes than are left.
    fn too_long(&self, what: &str, needs: u64) -> Error {
        let (path, has) = (self.path.into(), (self.bytes.len() - self.at) as u64);
        if needs <= has {
            let (value, limit) = (needs.saturating_add(self.position()), LONGEST_HEAD as u64);
            let what = format!("length of metadata and descriptions up to {what}, in bytes,");
            return Error::Limit { path, what, value, limit };
        }
        Error::Truncated { path, what: what.into(), needs, has }
    }

    /// The next `len` bytes. They are not copied: see [`Cursor::string`] for what may change.
    pub(super) fn take(&mut self, what: &str, len: u64) -> Result<&'a [u8]> {
        match usize::try_from(len) {
            Ok(len) if len <= self.left() => {
                let taken = &self.bytes[self.at..self.at + len];
                self.at += len;
                Ok(taken)
            }
            _ => Err(self.too_long(what, len)),
        }
    }

    pub(super) fn array<const N: usize>(&mut self, what: &str) -> Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(what, N as u64)?);
        Ok(array)
    }

    pub(super) fn u32(&mut self, what: &str) -> Result<u32> {
        self.array(what).map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self, what: &str) -> Result<u64> {
        self.array(what).map(u64::from_le_bytes)
    }

    /// A count of things that take at least `smallest` bytes each: so many that the file cannot
    /// hold them, or more than `limit`, are refused before anything is allocated for them.
    pub(super) fn count(&mut self, what: &str, smallest: u64, limit: u64) -> Result<usize> {
        let value = self.u64(what)?;
        if value > limit {
            let (path, what) = (self.path.into(), what.into());
            return Err(Error::Limit { path, what, value, limit });
        }
        let needs = value.saturating_mul(smallest);
        match usize::try_from(value) {
            Ok(count) if needs <= self.left() as u64 => Ok(count),
            _ => Err(self.too_long(what, needs)),
        }
    }

    /// The count of an array's arrays, bounded over the whole file: each costs more memory than
    /// bytes.
    pub(super) fn nested(&mut self, what: &str) -> Result<usize> {
        let what = format!("number of arrays nested in {what}, after {} others,", self.nested);
        let count = self.count(&what, SMALLEST_ARRAY, MOST_NESTED - self.nested)?;
        self.nested += count as u64;
        Ok(count)
    }

    /// The bytes of a string: its length, then its text.
    pub(super) fn text(&mut self, what: &str, limit: u64) -> Result<&'a [u8]> {
        let value = self.u64(what)?;
        if value > limit && value <= self.left() as u64 {
            let (path, what) = (self.path.into(), format!("length of {what}"));
            return Err(Error::Limit { path, what, value, limit });
        }
        self.take(what, value)
    }

    /// A string of at most `limit` bytes.
    pub(super) fn string(&mut self, what: &str, limit: u64) -> Result<String> {
        // Copied before it is checked: the mapped bytes could change in between.
        let text = self.text(what, limit)?.to_vec();
        String::from_utf8(text).map_err(|error| {
            let seen = quote(&String::from_utf8_lossy(error.as_bytes()));
            self.malformed(format!("{what} is not UTF-8: {seen}"))
        })
    }
}
