//! What a program wants from a model, and what a model offers.

use std::fmt;

/// One thing a model may be able to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Capability {
    /// Reads text.
    TextIn,
    /// Writes text.
    TextOut,
    /// Sees images.
    ImageIn,
    /// Hears audio.
    AudioIn,
    /// Speaks.
    AudioOut,
    /// Calls tools: its chat template has a place for them.
    ToolCalling,
}

impl Capability {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::TextIn,
        Self::TextOut,
        Self::ImageIn,
        Self::AudioIn,
        Self::AudioOut,
        Self::ToolCalling,
    ];
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TextIn => "text input",
            Self::TextOut => "text output",
            Self::ImageIn => "image input",
            Self::AudioIn => "audio input",
            Self::AudioOut => "audio output",
            Self::ToolCalling => "tool calling",
        })
    }
}

/// A set of [`Capability`]. Only weights that some wanted capability needs are mapped.
///
/// ```
/// use tessera_engine::{Capability, CapabilitySet};
///
/// let wanted = CapabilitySet::TEXT.with(Capability::ToolCalling);
/// assert!(wanted.contains(Capability::TextIn));
/// assert_eq!(wanted.minus(CapabilitySet::TEXT).to_string(), "tool calling");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CapabilitySet(u8);

impl CapabilitySet {
    /// Nothing.
    pub const EMPTY: Self = Self(0);
    /// Text in, text out.
    pub const TEXT: Self = Self::EMPTY.with(Capability::TextIn).with(Capability::TextOut);

    /// This set and `capability`.
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability as u8)
    }

    /// Those of this set that are not in `other`.
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether `capability` is in the set.
    pub const fn contains(self, capability: Capability) -> bool {
        self.0 & 1 << capability as u8 != 0
    }

    /// Whether nothing is in the set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members, in the order they are declared.
    pub fn iter(self) -> impl Iterator<Item = Capability> {
        Capability::ALL.into_iter().filter(move |&c| self.contains(c))
    }
}

impl Default for CapabilitySet {
    /// [`TEXT`](Self::TEXT).
    fn default() -> Self {
        Self::TEXT
    }
}

impl fmt::Debug for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl fmt::Display for CapabilitySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, capability) in self.iter().enumerate() {
            write!(f, "{}{capability}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
