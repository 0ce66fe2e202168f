//! The JSON header of a safetensors file.

use std::{collections::BTreeMap, fmt, path::Path};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};

use super::{LONGEST_HEADER, MOST_TENSORS};
use crate::{
    Dtype, Error, Result,
    error::{brief, quote},
    pairs::Pairs,
};

/// Most `__metadata__` strings accepted. Real files have a few.
const MOST_STRINGS: usize = 4096;

/// Most dimensions accepted. A convolution over video has 5.
const MOST_DIMENSIONS: usize = 8;

/// A header as it was read, not yet checked against the data.
pub(super) struct Header {
    pub(super) metadata: BTreeMap<String, String>,
    /// Tensors in the order of their data.
    pub(super) entries: Vec<(String, Entry)>,
    /// Where the data begins in the file.
    pub(super) data: usize,
}

/// What the header says of one tensor.
#[derive(Deserialize)]
pub(super) struct Entry {
    dtype: String,
    pub(super) shape: Shape,
    pub(super) data_offsets: [u64; 2],
}

pub(super) struct Shape(pub(super) Vec<usize>);

/// Reads the header: its length, its JSON, and that no name appears twice.
pub(super) fn read(bytes: &[u8], path: &Path) -> Result<Header> {
    let truncated = |needs, has| {
        let what = "the header".into();
        Error::Truncated { path: path.into(), what, needs, has }
    };
    let has = bytes.len() as u64;
    let Some((length, rest)) = bytes.split_first_chunk::<8>() else {
        return Err(truncated(8, has));
    };
    let length = u64::from_le_bytes(*length);
    if length > LONGEST_HEADER {
        return Err(Error::Limit {
            path: path.into(),
            what: "header length in bytes (is this a safetensors file?)".into(),
            value: length,
            limit: LONGEST_HEADER,
        });
    }
    // Copied before it is checked: the mapped bytes could change in between.
    let json = rest.get(..length as usize).ok_or_else(|| truncated(length, has - 8))?.to_vec();
    let malformed = |problem| Error::Malformed { path: path.into(), problem };
    if json.first() != Some(&b'{') {
        return Err(malformed("the header is not a JSON object".into()));
    }
    let Document { metadata, mut entries } = serde_json::from_slice(&json)
        .map_err(|error| malformed(format!("the header cannot be read: {}", brief(&error))))?;
    entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        let name = quote(&pair[0].0);
        return Err(Error::Duplicate { path: path.into(), what: "tensor", name });
    }
    // Stable: empty tensors share an offset, and stay in the order of their names.
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    Ok(Header { metadata, entries, data: 8 + json.len() })
}

impl Entry {
    /// The tensor's type.
    pub(super) fn dtype(&self, name: &str, path: &Path) -> Result<Dtype> {
        Ok(match self.dtype.as_str() {
            "BOOL" => Dtype::Bool,
            "U8" => Dtype::U8,
            "I8" => Dtype::I8,
            "U16" => Dtype::U16,
            "I16" => Dtype::I16,
            "U32" => Dtype::U32,
            "I32" => Dtype::I32,
            "U64" => Dtype::U64,
            "I64" => Dtype::I64,
            "F16" => Dtype::F16,
            "BF16" => Dtype::BF16,
            "F32" => Dtype::F32,
            "F64" => Dtype::F64,
            "F8_E4M3" => Dtype::F8E4M3,
            "F8_E5M2" => Dtype::F8E5M2,
            "F8_E8M0" => Dtype::F8E8M0,
            other => {
                let (path, dtype) = (path.into(), quote(other));
                return Err(Error::Dtype { path, tensor: quote(name), dtype });
            }
        })
    }
}

struct Document {
    metadata: BTreeMap<String, String>,
    entries: Vec<(String, Entry)>,
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;

        impl<'de> Visitor<'de> for Fields {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object that describes tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                let (mut metadata, mut entries) = (None, Vec::new());
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        let strings: Pairs<String, MOST_STRINGS> = map.next_value()?;
                        if metadata.replace(strings.0.into_iter().collect()).is_some() {
                            return Err(A::Error::duplicate_field("__metadata__"));
                        }
                        continue;
                    }
                    if entries.len() == MOST_TENSORS {
                        return Err(A::Error::custom(format!("more than {MOST_TENSORS} tensors")));
                    }
                    let entry = map
                        .next_value()
                        .map_err(|error| A::Error::custom(format!("{}: {error}", quote(&name))))?;
                    entries.push((name, entry));
                }
                Ok(Document { metadata: metadata.unwrap_or_default(), entries })
            }
        }

        deserializer.deserialize_map(Fields)
    }
}

impl<'de> Deserialize<'de> for Shape {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Dimensions;

        impl<'de> Visitor<'de> for Dimensions {
            type Value = Shape;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a list of at most {MOST_DIMENSIONS} dimensions")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Shape, A::Error> {
                let mut shape = Vec::new();
                while let Some(dimension) = list.next_element()? {
                    if shape.len() == MOST_DIMENSIONS {
                        return Err(A::Error::invalid_length(MOST_DIMENSIONS + 1, &self));
                    }
                    shape.push(dimension);
                }
                Ok(Shape(shape))
            }
        }

        deserializer.deserialize_seq(Dimensions)
    }
}
