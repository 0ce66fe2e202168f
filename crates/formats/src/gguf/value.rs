//! Metadata values.

use super::{Strings, cursor::Cursor};
use crate::Result;

/// Deepest nesting of arrays accepted. No known file nests them at all.
const DEEPEST: usize = 3;

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the names are the format's
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    Array(Array),
}

/// A metadata array: elements of one type, stored compactly.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)] // the names are the format's
pub enum Array {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    Strings(Strings),
    Arrays(Vec<Array>),
}

/// Defines reading of a value and of an array for every numeric type: its number in the file, its
/// variant and its Rust type.
macro_rules! numbers {
    ($($number:literal $variant:ident $type:ty,)*) => {
        impl Value {
            /// Reads a value of the type with that number; `what` names it in errors.
            pub(super) fn read(cursor: &mut Cursor<'_>, what: &str, kind: u32) -> Result<Self> {
                Ok(match kind {
                    $($number => Self::$variant(<$type>::from_le_bytes(cursor.array(what)?)),)*
                    7 => {
                        let [byte] = cursor.array(what)?;
                        Self::Bool(bool(cursor, what, byte)?)
                    }
                    8 => Self::String(cursor.string(what, u64::MAX)?),
                    9 => Self::Array(Array::read(cursor, what, 1)?),
                    _ => return Err(unknown(cursor, what, kind)),
                })
            }

            /// The number of the value's type in the file.
            pub(super) fn kind(&self) -> u32 {
                match self {
                    $(Self::$variant(_) => $number,)*
                    Self::Bool(_) => 7,
                    Self::String(_) => 8,
                    Self::Array(_) => 9,
                }
            }

            /// Appends the value as the file stores it.
            pub(super) fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant(value) => out.extend(value.to_le_bytes()),)*
                    Self::Bool(value) => out.push(u8::from(*value)),
                    Self::String(value) => put_string(value, out),
                    Self::Array(value) => value.put(out),
                }
            }
        }

        impl Array {
            fn read(cursor: &mut Cursor<'_>, what: &str, depth: usize) -> Result<Self> {
                let kind = cursor.u32(what)?;
                Ok(match kind {
                    $($number => {
                        const SIZE: usize = size_of::<$type>();
                        let count = cursor.count(what, SIZE as u64, u64::MAX)?;
                        let (values, _) = cursor.take(what, (count * SIZE) as u64)?.as_chunks();
                        Self::$variant(values.iter().map(|v| <$type>::from_le_bytes(*v)).collect())
                    })*
                    7 => {
                        let count = cursor.count(what, 1, u64::MAX)?;
                        let bytes = cursor.take(what, count as u64)?;
                        let bools = bytes.iter().map(|&byte| bool(cursor, what, byte));
                        Self::Bool(bools.collect::<Result<_>>()?)
                    }
                    8 => {
                        let count = cursor.count(what, 8, u64::MAX)?;
                        Self::Strings(Strings::read(cursor, what, count)?)
                    }
                    9 if depth == DEEPEST => {
                        let problem = format!("{what} nests arrays more than {DEEPEST} deep");
                        return Err(cursor.malformed(problem));
                    }
                    9 => {
                        let count = cursor.nested(what)?;
                        let arrays = (0..count).map(|_| Self::read(cursor, what, depth + 1));
                        Self::Arrays(arrays.collect::<Result<_>>()?)
                    }
                    _ => return Err(unknown(cursor, what, kind)),
                })
            }

            /// Number of elements.
            pub fn len(&self) -> usize {
                match self {
                    $(Self::$variant(values) => values.len(),)*
                    Self::Bool(values) => values.len(),
                    Self::Strings(values) => values.len(),
                    Self::Arrays(values) => values.len(),
                }
            }

            fn kind(&self) -> u32 {
                match self {
                    $(Self::$variant(_) => $number,)*
                    Self::Bool(_) => 7,
                    Self::Strings(_) => 8,
                    Self::Arrays(_) => 9,
                }
            }

            fn put(&self, out: &mut Vec<u8>) {
                out.extend(self.kind().to_le_bytes());
                out.extend((self.len() as u64).to_le_bytes());
                match self {
                    $(Self::$variant(all) => out.extend(all.iter().flat_map(|v| v.to_le_bytes())),)*
                    Self::Bool(values) => out.extend(values.iter().map(|&value| u8::from(value))),
                    Self::Strings(values) => values.iter().for_each(|value| put_string(value, out)),
                    Self::Arrays(values) => values.iter().for_each(|value| value.put(out)),
                }
            }
        }

        $(
            impl From<$type> for Value {
                fn from(value: $type) -> Self {
                    Self::$variant(value)
                }
            }

            impl From<Vec<$type>> for Value {
                fn from(values: Vec<$type>) -> Self {
                    Self::Array(Array::$variant(values))
                }
            }
        )*
    };
}

numbers! {
    0 U8 u8,
    1 I8 i8,
    2 U16 u16,
    3 I16 i16,
    4 U32 u32,
    5 I32 i32,
    6 F32 f32,
    10 U64 u64,
    11 I64 i64,
    12 F64 f64,
}

impl Array {
    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<Strings> for Value {
    fn from(values: Strings) -> Self {
        Self::Array(Array::Strings(values))
    }
}

fn bool(cursor: &Cursor<'_>, what: &str, byte: u8) -> Result<bool> {
    match byte {
        0 | 1 => Ok(byte == 1),
        _ => Err(cursor.malformed(format!("{what} holds bool {byte}"))),
    }
}

fn unknown(cursor: &Cursor<'_>, what: &str, kind: u32) -> crate::Error {
    cursor.malformed(format!("{what} has unknown value type {kind}"))
}

pub(super) fn put_string(value: &str, out: &mut Vec<u8>) {
    out.extend((value.len() as u64).to_le_bytes());
    out.extend(value.as_bytes());
}
