//! What this crate can open, for help texts and documentation.

use crate::{blocks::ROPE_TYPES, families::FAMILIES};

/// A family of models that [`open`](crate::open) knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Supported {
    /// Its name, as in [`Info::family`](crate::Info::family).
    pub family: &'static str,
    /// `model_type` of its configurations.
    pub model_types: &'static [&'static str],
    /// `general.architecture` of its GGUF files; `None` where those call themselves another family's.
    pub gguf: Option<&'static str>,
}

/// Every family, in order of registration.
pub fn families() -> impl Iterator<Item = Supported> {
    FAMILIES.iter().map(|family| Supported {
        family: family.name,
        model_types: family.model_types,
        gguf: family.gguf,
    })
}

/// The kinds of rotary embedding, by the configuration's `rope_type`.
pub fn rope_types() -> &'static [&'static str] {
    &ROPE_TYPES
}
