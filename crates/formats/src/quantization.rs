//! mlx quantisation metadata: which packing a tensor has.

mod derive;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::{Config, Error, Result, error::quote};

/// How a group's elements become numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum QuantMode {
    /// Unsigned integers with a float scale and bias a group.
    Affine,
    /// e2m1 floats with an e8m0 scale for each 32.
    Mxfp4,
    /// e2m1 floats with an e4m3 scale for each 16.
    Nvfp4,
    /// e4m3 floats with an e8m0 scale for each 32.
    Mxfp8,
}

impl QuantMode {
    /// The name in configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::Affine => "affine",
            Self::Mxfp4 => "mxfp4",
            Self::Nvfp4 => "nvfp4",
            Self::Mxfp8 => "mxfp8",
        }
    }

    /// The only `(bits, group_size)` of a float mode; `None` for affine, which has many.
    pub fn fixed(self) -> Option<(u8, usize)> {
        match self {
            Self::Affine => None,
            Self::Mxfp4 => Some((4, 32)),
            Self::Nvfp4 => Some((4, 16)),
            Self::Mxfp8 => Some((8, 32)),
        }
    }

    fn parse(name: &str) -> Option<Self> {
        [Self::Affine, Self::Mxfp4, Self::Nvfp4, Self::Mxfp8]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

/// How one tensor is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TensorQuant {
    /// Bits of an element: 2, 3, 4, 5, 6 or 8.
    pub bits: u8,
    /// Elements that share a scale: 32, 64 or 128 for affine, 16 or 32 for the float modes.
    pub group_size: usize,
    /// What the bits mean.
    pub mode: QuantMode,
}

/// What a configuration says of a packing; what it leaves open follows from the tensors' shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Spec {
    bits: Option<u8>,
    group_size: Option<usize>,
    mode: Option<QuantMode>,
}

/// The quantisation of a checkpoint in the mlx layout.
///
/// A packed tensor `m.weight` holds 32-bit words and is accompanied by `m.scales` (and `m.biases`
/// for affine). The configuration gives a default, and exceptions by module path.
#[derive(Debug, Clone, Default)]
pub struct Quantization {
    default: Spec,
    /// `None`: the module is not quantised.
    modules: BTreeMap<String, Option<Spec>>,
}

impl Quantization {
    /// Reads `quantization`, or else an mlx-like `quantization_config`, of a `config.json`, at the
    /// top or in its `text_config`. `None` when there is neither, and for `quant_method` mxfp4, which is told by
    /// names of tensors.
    ///
    /// # Errors
    ///
    /// Another tool's quantisation (`quant_method` without mlx's own entry), unknown modes, bits
    /// and group sizes.
    pub fn from_config(config: &Config) -> Result<Option<Self>> {
        let text = config.get("text_config").is_some_and(Value::is_object);
        let text = if text { config.opt_sub("text_config")? } else { None };
        for config in [Some(config), text.as_ref()].into_iter().flatten() {
            if let Some(entry) = config.opt_sub("quantization")? {
                return Self::read(&entry).map(Some);
            }
            if let Some(entry) = config.opt_sub("quantization_config")? {
                if let Some(method) = entry.get("quant_method") {
                    // gpt-oss as published: packed tensors are `…_blocks` and `…_scales`, and no others are
                    if method == "mxfp4" {
                        return Ok(None);
                    }
                    let method = quote(&method.to_string());
                    return Err(entry.error(
                        "quant_method",
                        format!("{method} is not supported; use an mlx or GGUF conversion"),
                    ));
                }
                return Self::read(&entry).map(Some);
            }
        }
        Ok(None)
    }

    fn read(entry: &Config) -> Result<Self> {
        let default = spec(entry, "", entry.raw())?;
        let mut modules = BTreeMap::new();
        for (key, value) in entry.raw() {
            let spec = match value {
                Value::Object(fields) => Some(spec(entry, &format!("{key}."), fields)?),
                Value::Bool(true) => Some(default),
                Value::Bool(false) => None,
                _ => continue,
            };
            modules.insert(key.clone(), spec);
        }
        Ok(Self { default, modules })
    }
}

/// Reads `bits`, `group_size` and `mode`. `prefix` completes the field's name in errors.
fn spec(entry: &Config, prefix: &str, fields: &Map<String, Value>) -> Result<Spec> {
    let get = |key| fields.get(key).filter(|value: &&Value| !value.is_null());
    let wrong = |key: &str, wanted: &str, value: &Value| {
        let found = quote(&value.to_string());
        entry.error(&format!("{prefix}{key}"), format!("expected {wanted}, found {found}"))
    };
    let mode = get("mode")
        .map(|value| {
            let mode = value.as_str().and_then(QuantMode::parse);
            mode.ok_or_else(|| wrong("mode", "affine, mxfp4, nvfp4 or mxfp8", value))
        })
        .transpose()?;
    let bits = get("bits")
        .map(|value| match value.as_u64() {
            Some(bits @ (2..=6 | 8)) => Ok(bits as u8),
            _ => Err(wrong("bits", "2, 3, 4, 5, 6 or 8", value)),
        })
        .transpose()?;
    let group_size = get("group_size")
        .map(|value| match value.as_u64() {
            Some(size @ (16 | 32 | 64 | 128)) => Ok(size as usize),
            _ => Err(wrong("group_size", "16, 32, 64 or 128", value)),
        })
        .transpose()?;
    Ok(Spec { bits, group_size, mode })
}

/// An error about a module.
fn error(module: &str, problem: String) -> Error {
    Error::Quantization { module: quote(module), problem }
}
