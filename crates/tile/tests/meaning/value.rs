//! Scalars and memories.

use std::collections::BTreeMap;

/// A scalar.
#[derive(Debug, Clone, Copy)]
pub enum Value {
    Bool(bool),
    I32(i32),
    U32(u32),
    F32(f32),
}

impl PartialEq for Value {
    /// The same bits, but for what is not a number.
    fn eq(&self, other: &Self) -> bool {
        match (*self, *other) {
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::I32(a), Self::I32(b)) => a == b,
            (Self::U32(a), Self::U32(b)) => a == b,
            (Self::F32(a), Self::F32(b)) => a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan(),
            _ => false,
        }
    }
}

/// Elements of each memory.
pub type Memories = BTreeMap<String, Vec<Value>>;

/// Bits of a float; those of what is not a number are left to the device.
pub fn bits(x: f32) -> u32 {
    if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() }
}
