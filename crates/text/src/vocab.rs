//! The vocabulary: what every id is called, what it is for and which bytes it stands for.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Ordinary text, reached through the model's merges.
    Normal,
    /// Control token (`<|im_start|>`, `<bos>`): never produced from user text, hidden when decoding.
    Special,
    /// Added as a whole: matched in any text before the model sees it.
    UserDefined,
    /// One raw byte of a byte-fallback vocabulary (`<0x0A>`).
    Byte,
    /// Stands for text the vocabulary cannot express.
    Unknown,
    /// A hole in the id range or a padding entry; never produced.
    Unused,
}

/// Byte strings back to back in one allocation, addressed by index.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arena {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Arena {
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.ends.push(self.bytes.len());
    }

    pub fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start..end])
    }
}

/// Token texts by id, and ids by token text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Vocab {
    texts: Arena,
    kinds: Vec<Kind>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Vocab {
    /// An empty vocabulary with room for `tokens` entries.
    pub fn with_capacity(tokens: usize) -> Self {
        Self { index: HashTable::with_capacity(tokens), ..Self::default() }
    }

    /// Appends the next id. Of two ids with the same text the later one answers to it, as in the
    /// reference tokenizers; unused entries answer to nothing.
    pub fn push(&mut self, text: &str, kind: Kind) {
        let id = self.kinds.len() as u32;
        self.texts.push(text.as_bytes());
        self.kinds.push(kind);
        if kind == Kind::Unused {
            return;
        }
        let (texts, hasher) = (&self.texts, &self.hasher);
        let hash = hasher.hash_one(text.as_bytes());
        let same = |other: &u32| texts.get(*other as usize) == Some(text.as_bytes());
        match self.index.find_mut(hash, same) {
            Some(slot) => *slot = id,
            None => {
                let rehash =
                    |other: &u32| hasher.hash_one(texts.get(*other as usize).unwrap_or(&[]));
                self.index.insert_unique(hash, id, rehash);
            }
        }
    }

    /// Number of ids, holes included.
    pub fn len(&self) -> usize {
        self.kinds.len()
    }

    /// The id called `text`.
    pub fn id(&self, text: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(text.as_bytes());
        let same = |other: &u32| self.texts.get(*other as usize) == Some(text.as_bytes());
        self.index.find(hash, same).copied()
    }

    /// The name of `id`.
    pub fn text(&self, id: u32) -> Option<&str> {
        std::str::from_utf8(self.texts.get(id as usize)?).ok()
    }

    /// What `id` is for; ids beyond the vocabulary are unused.
    pub fn kind(&self, id: u32) -> Kind {
        self.kinds.get(id as usize).copied().unwrap_or(Kind::Unused)
    }

    /// The id `text` has as ordinary text: never a control or raw-byte token, so that no spelling of
    /// user text can reach one.
    pub fn ordinary(&self, text: &str) -> Option<u32> {
        self.id(text).filter(|id| matches!(self.kind(*id), Kind::Normal | Kind::UserDefined))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looks_up_both_ways_and_hides_control_tokens_from_text() {
        let mut vocab = Vocab::with_capacity(4);
        vocab.push("a", Kind::Normal);
        vocab.push("<s>", Kind::Special);
        vocab.push("[PAD2]", Kind::Unused);
        vocab.push("a", Kind::Normal);
        assert_eq!(vocab.id("a"), Some(3), "the later duplicate answers");
        assert_eq!(vocab.text(0), Some("a"));
        assert_eq!((vocab.id("<s>"), vocab.ordinary("<s>")), (Some(1), None));
        assert_eq!(vocab.id("[PAD2]"), None);
        assert_eq!(vocab.kind(9), Kind::Unused);
        assert_eq!(vocab.text(4), None);
    }
}
