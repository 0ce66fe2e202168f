//! The key-value pairs of a file.

use std::path::Path;

use super::{Array, Strings, Value, cursor::Cursor};
use crate::{Error, Result, error::quote};

/// Bytes of the smallest pair: an empty key, a type, one byte of value.
pub(super) const SMALLEST: u64 = 8 + 4 + 1;

/// Most pairs accepted. Real files have fewer than a hundred.
pub(super) const MOST: u64 = 65_536;

/// Longest key the format allows, in bytes.
const LONGEST_KEY: u64 = 65_535;

/// Key-value pairs with typed getters.
///
/// Getters named `opt_…` give `None` for a missing key; the others make it an error. A value of
/// another type is always an error. Integer getters accept every integer type whose value fits,
/// since writers differ in the width they choose.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The file, for errors.
    origin: String,
    /// Sorted by key.
    pairs: Vec<(String, Value)>,
}

impl Metadata {
    /// Pairs that come from elsewhere than a file. `origin` names them in errors; of a key that
    /// appears twice the first value counts.
    pub fn new(mut pairs: Vec<(String, Value)>, origin: impl Into<String>) -> Self {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|a, b| a.0 == b.0);
        Self { origin: origin.into(), pairs }
    }

    pub(super) fn read(cursor: &mut Cursor<'_>, count: usize) -> Result<Self> {
        let path: &Path = cursor.path;
        let mut pairs = Vec::new();
        for _ in 0..count {
            let key = cursor.string("a metadata key", LONGEST_KEY)?;
            let what = format!("metadata {}", quote(&key));
            let kind = cursor.u32(&what)?;
            let value = Value::read(cursor, &what, kind)?;
            pairs.push((key, value));
        }
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let name = quote(&pair[0].0);
            return Err(Error::Duplicate { path: path.into(), what: "metadata key", name });
        }
        Ok(Self { origin: path.display().to_string(), pairs })
    }

    /// The pairs, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.pairs.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// A value as it is.
    pub fn get(&self, key: &str) -> Option<&Value> {
        let found = self.pairs.binary_search_by(|pair| pair.0.as_str().cmp(key)).ok()?;
        Some(&self.pairs[found].1)
    }

    /// An error about a key: for checks that only the caller can make.
    pub fn error(&self, key: &str, problem: impl Into<String>) -> Error {
        let (origin, field) = (self.origin.clone(), quote(key));
        Error::Field { origin, field, problem: problem.into() }
    }

    /// Converts a value, or says what was wanted.
    fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        convert: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(self.error(key, format!("expected {wanted}, found {}", describe(value)))),
        }
    }

    fn required<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.error(key, "missing"))
    }

    /// A string.
    pub fn str(&self, key: &str) -> Result<&str> {
        self.required(key, self.opt_str(key)?)
    }

    /// [`Metadata::str`], or `None` when missing.
    pub fn opt_str(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", |value| match value {
            Value::String(text) => Some(text.as_str()),
            _ => None,
        })
    }

    /// An integer that is not negative.
    pub fn u64(&self, key: &str) -> Result<u64> {
        self.required(key, self.opt_u64(key)?)
    }

    /// [`Metadata::u64`], or `None` when missing.
    pub fn opt_u64(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "an integer from 0", |value| u64::try_from(integer(value)?).ok())
    }

    /// A float, possibly not finite. A double is rounded.
    pub fn f32(&self, key: &str) -> Result<f32> {
        self.required(key, self.opt_f32(key)?)
    }

    /// [`Metadata::f32`], or `None` when missing.
    pub fn opt_f32(&self, key: &str) -> Result<Option<f32>> {
        self.typed(key, "a float", |value| match value {
            Value::F32(float) => Some(*float),
            Value::F64(float) => Some(*float as f32),
            _ => None,
        })
    }

    /// A truth value.
    pub fn bool(&self, key: &str) -> Result<bool> {
        self.required(key, self.opt_bool(key)?)
    }

    /// [`Metadata::bool`], or `None` when missing.
    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "a bool", |value| match value {
            Value::Bool(bool) => Some(*bool),
            _ => None,
        })
    }

    /// An array of strings.
    pub fn strings(&self, key: &str) -> Result<&Strings> {
        self.required(key, self.opt_strings(key)?)
    }

    /// [`Metadata::strings`], or `None` when missing.
    pub fn opt_strings(&self, key: &str) -> Result<Option<&Strings>> {
        self.typed(key, "an array of strings", |value| match value {
            Value::Array(Array::Strings(strings)) => Some(strings),
            _ => None,
        })
    }

    /// An array of 32-bit floats.
    pub fn f32s(&self, key: &str) -> Result<&[f32]> {
        self.required(key, self.opt_f32s(key)?)
    }

    /// [`Metadata::f32s`], or `None` when missing.
    pub fn opt_f32s(&self, key: &str) -> Result<Option<&[f32]>> {
        self.typed(key, "an array of 32-bit floats", |value| match value {
            Value::Array(Array::F32(floats)) => Some(floats.as_slice()),
            _ => None,
        })
    }

    /// An array of integers that fit 32 bits, such as token types.
    pub fn i32s(&self, key: &str) -> Result<Vec<i32>> {
        self.required(key, self.opt_i32s(key)?)
    }

    /// [`Metadata::i32s`], or `None` when missing.
    pub fn opt_i32s(&self, key: &str) -> Result<Option<Vec<i32>>> {
        self.typed(key, "an array of 32-bit integers", |value| match value {
            Value::Array(array) => integers(array, |i| i32::try_from(i).ok()),
            _ => None,
        })
    }

    /// Integers that are not negative, or `None` when missing. A single one counts as a list of
    /// one: some settings are either one number or a number for each layer.
    pub fn opt_u64s(&self, key: &str) -> Result<Option<Vec<u64>>> {
        self.typed(key, "an integer from 0, or an array of them", |value| match value {
            Value::Array(array) => integers(array, |i| u64::try_from(i).ok()),
            single => Some(vec![u64::try_from(integer(single)?).ok()?]),
        })
    }

    /// Truth values, or `None` when missing. A single one counts as a list of one.
    pub fn opt_bools(&self, key: &str) -> Result<Option<Vec<bool>>> {
        self.typed(key, "a bool, or an array of them", |value| match value {
            Value::Bool(bool) => Some(vec![*bool]),
            Value::Array(Array::Bool(bools)) => Some(bools.clone()),
            _ => None,
        })
    }
}

/// An integer of any type.
fn integer(value: &Value) -> Option<i128> {
    Some(match *value {
        Value::U8(i) => i.into(),
        Value::I8(i) => i.into(),
        Value::U16(i) => i.into(),
        Value::I16(i) => i.into(),
        Value::U32(i) => i.into(),
        Value::I32(i) => i.into(),
        Value::U64(i) => i.into(),
        Value::I64(i) => i.into(),
        _ => return None,
    })
}

/// The integers of an array of any integer type.
fn integers<T>(array: &Array, fit: impl Fn(i128) -> Option<T>) -> Option<Vec<T>> {
    match array {
        Array::U8(all) => all.iter().map(|&i| fit(i.into())).collect(),
        Array::I8(all) => all.iter().map(|&i| fit(i.into())).collect(),
        Array::U16(all) => all.iter().map(|&i| fit(i.into())).collect(),
        Array::I16(all) => all.iter().map(|&i| fit(i.into())).collect(),
        Array::U32(all) => all.iter().map(|&i| fit(i.into())).collect(),
        Array::I32(all) => all.iter().map(|&i| fit(i.into())).collect(),
        Array::U64(all) => all.iter().map(|&i| fit(i.into())).collect(),
        Array::I64(all) => all.iter().map(|&i| fit(i.into())).collect(),
        _ => None,
    }
}

/// A value as it appears in an error: short, whatever it is.
fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(array) => format!("an array of {}", array.len()),
        scalar => format!("{scalar:?}"),
    }
}
