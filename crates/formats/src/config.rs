//! JSON configuration: `config.json`, `generation_config.json` and objects inside them.

use std::{ops::RangeInclusive, path::Path, sync::Arc};

use serde_json::{Map, Value};

use crate::{
    Error, Result,
    error::{brief, quote},
    json, map,
};

/// Largest configuration file accepted, in bytes. Real ones hold a few kilobytes; one with
/// quantisation settings for every expert of a large mixture, a few megabytes.
const LARGEST_FILE: u64 = 16 << 20;

/// Longest list a getter returns. The longest real ones have an entry per layer or rotary pair.
const LONGEST_LIST: usize = 65_536;

/// A JSON object with typed, bounded getters whose errors name the file and the field.
///
/// A field that is `null` counts as absent, as in Python. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Config {
    /// The file, for errors.
    origin: Arc<str>,
    /// Where in the file this object is: empty, or `rope_scaling.`.
    prefix: String,
    map: Arc<Map<String, Value>>,
}

impl Config {
    /// An object without fields. `origin` names its source in errors.
    pub fn empty(origin: impl Into<String>) -> Self {
        Self::new(Map::new(), origin)
    }

    fn new(map: Map<String, Value>, origin: impl Into<String>) -> Self {
        let origin: String = origin.into();
        Self { origin: origin.into(), prefix: String::new(), map: Arc::new(map) }
    }

    /// Wraps a JSON object; anything else is an error. `origin` names its source in errors.
    pub fn from_json(value: Value, origin: impl Into<String>) -> Result<Self> {
        match value {
            Value::Object(map) => Ok(Self::new(map, origin)),
            other => Err(Error::Field {
                origin: origin.into(),
                field: "document".into(),
                problem: format!("expected a JSON object, found {}", describe(&other)),
            }),
        }
    }

    /// Parses a JSON document. Python's bare `NaN` and `Infinity` are accepted.
    pub fn parse(bytes: &[u8], origin: impl Into<String>) -> Result<Self> {
        let origin = origin.into();
        match json::parse(bytes) {
            Ok(value) => Self::from_json(value, origin),
            Err(error) => {
                let problem = format!("not valid JSON: {}", brief(&error));
                Err(Error::Field { origin, field: "document".into(), problem })
            }
        }
    }

    /// Reads and parses a file of at most 16 MiB.
    pub fn open(path: &Path) -> Result<Self> {
        Self::parse(&map::read(path, LARGEST_FILE)?, path.display().to_string())
    }

    /// The source named in errors.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The whole object.
    pub fn raw(&self) -> &Map<String, Value> {
        &self.map
    }

    /// A field as it is; `None` when absent or `null`.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// Whether a field is present and not `null`.
    pub fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// An error about a field of this object: for checks that only the caller can make.
    pub fn error(&self, key: &str, problem: impl Into<String>) -> Error {
        let field = quote(&format!("{}{key}", self.prefix));
        Error::Field { origin: self.origin.to_string(), field, problem: problem.into() }
    }

    fn wrong(&self, key: &str, wanted: &str, found: &Value) -> Error {
        self.error(key, format!("expected {wanted}, found {}", describe(found)))
    }

    fn required<T>(&self, key: &str, value: Option<T>) -> Result<T> {
        value.ok_or_else(|| self.error(key, "missing"))
    }

    /// A whole number inside `range`. `8.0` counts as 8.
    pub fn usize(&self, key: &str, range: RangeInclusive<usize>) -> Result<usize> {
        self.required(key, self.opt_usize(key, range)?)
    }

    /// [`Config::usize`], or `None` when absent.
    pub fn opt_usize(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>> {
        self.get(key).map(|value| self.whole(key, value, &range)).transpose()
    }

    fn whole(&self, key: &str, value: &Value, range: &RangeInclusive<usize>) -> Result<usize> {
        let whole = value.as_u64().or_else(|| {
            // Exact in f64 and in u64.
            let float = value.as_f64()?;
            (float.fract() == 0.0 && (0.0..=9e15).contains(&float)).then_some(float as u64)
        });
        match whole.map(usize::try_from) {
            Some(Ok(n)) if range.contains(&n) => Ok(n),
            _ => {
                let wanted = format!("a whole number from {} to {}", range.start(), range.end());
                Err(self.wrong(key, &wanted, value))
            }
        }
    }

    /// A finite number.
    pub fn f32(&self, key: &str) -> Result<f32> {
        self.required(key, self.opt_f32(key)?)
    }

    /// [`Config::f32`], or `None` when absent.
    pub fn opt_f32(&self, key: &str) -> Result<Option<f32>> {
        self.get(key).map(|value| self.finite(key, value)).transpose()
    }

    fn finite(&self, key: &str, value: &Value) -> Result<f32> {
        match json::float(value).map(|float| float as f32) {
            Some(float) if float.is_finite() => Ok(float),
            _ => Err(self.wrong(key, "a finite number", value)),
        }
    }

    /// A finite number inside `range`.
    pub fn f32_in(&self, key: &str, range: RangeInclusive<f32>) -> Result<f32> {
        self.required(key, self.opt_f32_in(key, range)?)
    }

    /// [`Config::f32_in`], or `None` when absent.
    pub fn opt_f32_in(&self, key: &str, range: RangeInclusive<f32>) -> Result<Option<f32>> {
        match self.opt_f32(key)? {
            Some(float) if !range.contains(&float) => {
                let (low, high) = (range.start(), range.end());
                Err(self.error(key, format!("{float} is not between {low} and {high}")))
            }
            float => Ok(float),
        }
    }

    /// A truth value, or `None` when absent.
    pub fn opt_bool(&self, key: &str) -> Result<Option<bool>> {
        let bool = |value: &Value| value.as_bool().ok_or_else(|| self.wrong(key, "a bool", value));
        self.get(key).map(bool).transpose()
    }

    /// A truth value, or `default` when absent.
    pub fn bool_or(&self, key: &str, default: bool) -> Result<bool> {
        Ok(self.opt_bool(key)?.unwrap_or(default))
    }

    /// A string.
    pub fn str(&self, key: &str) -> Result<&str> {
        self.required(key, self.opt_str(key)?)
    }

    /// [`Config::str`], or `None` when absent.
    pub fn opt_str(&self, key: &str) -> Result<Option<&str>> {
        let str = |value| Value::as_str(value).ok_or_else(|| self.wrong(key, "a string", value));
        self.get(key).map(str).transpose()
    }

    /// A list of whole numbers inside `range`, or `None` when absent. A single number counts as a
    /// list of one, as in `eos_token_id`.
    pub fn opt_usizes(
        &self,
        key: &str,
        range: RangeInclusive<usize>,
    ) -> Result<Option<Vec<usize>>> {
        self.opt_list(key, |value| self.whole(key, value, &range))
    }

    /// A list of finite numbers, or `None` when absent. A single number counts as a list of one.
    pub fn opt_f32s(&self, key: &str) -> Result<Option<Vec<f32>>> {
        self.opt_list(key, |value| self.finite(key, value))
    }

    /// Two numbers from zero on, the second at least the first and possibly infinite, or `None` when absent.
    pub fn opt_interval(&self, key: &str) -> Result<Option<(f32, f32)>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let float = |i: usize| Some(json::float(value.get(i)?)? as f32);
        match (value.as_array().map(Vec::len), float(0), float(1)) {
            (Some(2), Some(low), Some(high)) if low.is_finite() && (0.0..=high).contains(&low) => {
                Ok(Some((low, high)))
            }
            _ => Err(self.wrong(key, "two numbers from 0 on, the lower first", value)),
        }
    }

    /// A list of truth values, or `None` when absent.
    pub fn opt_bools(&self, key: &str) -> Result<Option<Vec<bool>>> {
        self.opt_list(key, |v| v.as_bool().ok_or_else(|| self.wrong(key, "a list of bools", v)))
    }

    /// A list of strings, or `None` when absent. A single string counts as a list of one.
    pub fn opt_strs(&self, key: &str) -> Result<Option<Vec<&str>>> {
        self.opt_list(key, |v| v.as_str().ok_or_else(|| self.wrong(key, "a list of strings", v)))
    }

    fn opt_list<'a, T>(
        &'a self,
        key: &str,
        element: impl FnMut(&'a Value) -> Result<T>,
    ) -> Result<Option<Vec<T>>> {
        let Some(value) = self.get(key) else { return Ok(None) };
        let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        if list.len() > LONGEST_LIST {
            let len = list.len();
            return Err(self.error(key, format!("has {len} entries, the limit is {LONGEST_LIST}")));
        }
        list.iter().map(element).collect::<Result<_>>().map(Some)
    }

    /// An object inside this one; its errors name the whole path of a field.
    pub fn sub(&self, key: &str) -> Result<Self> {
        self.required(key, self.opt_sub(key)?)
    }

    /// [`Config::sub`], or `None` when absent.
    pub fn opt_sub(&self, key: &str) -> Result<Option<Self>> {
        match self.get(key) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Self {
                origin: self.origin.clone(),
                prefix: format!("{}{key}.", self.prefix),
                map: Arc::new(map.clone()),
            })),
            Some(other) => Err(self.wrong(key, "an object", other)),
        }
    }
}

/// A value as it appears in an error: short, whatever it is.
fn describe(value: &Value) -> String {
    match value {
        Value::String(text) => quote(text),
        Value::Array(list) => format!("a list of {}", list.len()),
        Value::Object(map) => match json::float(value) {
            Some(float) => float.to_string(),
            None => format!("an object of {} fields", map.len()),
        },
        scalar => scalar.to_string(),
    }
}
