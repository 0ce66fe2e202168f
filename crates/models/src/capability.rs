//! What a program wants from a model, and what a model offers.

use std::{fmt, path::Path};

use tessera_formats::Checkpoint;

use crate::{Result, names};

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
/// use tessera_models::{Capability, CapabilitySet};
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

    /// What this version of the program can run, of models that offer it.
    pub const BUILT: Self = Self::TEXT.with(Capability::ToolCalling);

    /// This set and `capability`.
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | 1 << capability as u8)
    }

    /// Those of this set that are not in `other`.
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those of this set that are in `other` as well.
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
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

/// Opens a checkpoint for `wanted`: weights that serve other capabilities alone are not mapped, and files
/// that hold nothing else need not be there.
///
/// # Errors
/// As [`Checkpoint::open`].
pub fn checkpoint(path: &Path, wanted: CapabilitySet) -> Result<Checkpoint> {
    let serves = |tensor: &str| names::serves(tensor).is_none_or(|it| wanted.contains(it));
    Ok(Checkpoint::open_selected(path, &serves)?)
}

/// What the weights of a checkpoint are for, mapped or not, whether or not this program can run it. Whether
/// tools can be called is for the chat template to say.
pub fn offered(checkpoint: &Checkpoint) -> CapabilitySet {
    let mapped = checkpoint.tensors().map(|tensor| tensor.name.as_str());
    let left_out = checkpoint.left_out().iter().map(String::as_str);
    let served = mapped.chain(left_out).filter_map(names::serves);
    served.fold(CapabilitySet::TEXT, CapabilitySet::with)
}
