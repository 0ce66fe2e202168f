//! Text to token ids and back.

use std::{borrow::Cow, fmt, path::Path};

use crate::{
    Error, Prompt, Result,
    added::{Added, Span},
    json::Normalizer,
    merge::Merger,
    model::Model,
    vocab::{Arena, Kind, Vocab},
};

/// Longest text one call encodes, in bytes.
const MAX_TEXT: usize = 1 << 28;

/// Whether the text of a control token (`<|im_start|>`) stands for that token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// It is text like any other and becomes several ordinary ids. Right for everything a user wrote.
    AsText,
    /// It is the token. Right for text the program wrote itself.
    Parse,
}

/// Ids with a role, as far as the files name them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Roles {
    /// Begins a text.
    pub bos: Option<u32>,
    /// Ends a text.
    pub eos: Option<u32>,
    /// Ends a turn of a conversation.
    pub eot: Option<u32>,
    /// Ends a message that waits for a tool.
    pub eom: Option<u32>,
    /// Fills up a batch.
    pub pad: Option<u32>,
    /// Stands for what the vocabulary lacks.
    pub unknown: Option<u32>,
}

/// A vocabulary and the rules that map text onto it, from a `tokenizer.json` or a GGUF file.
///
/// ```no_run
/// use tessera_text::{Specials, Tokenizer};
/// # fn main() -> tessera_text::Result<()> {
/// let checkpoint = tessera_formats::Checkpoint::open("model.gguf".as_ref())?;
/// let tokenizer = Tokenizer::from_checkpoint(&checkpoint)?;
/// let ids = tokenizer.encode("Hello", Specials::AsText)?;
/// assert_eq!(tokenizer.decode(&ids), "Hello");
/// # Ok(()) }
/// ```
pub struct Tokenizer {
    pub(crate) vocab: Vocab,
    /// The bytes every id stands for.
    pub(crate) pieces: Arena,
    /// Tokens matched in the text as written.
    pub(crate) added: Added,
    /// Tokens matched after normalising.
    pub(crate) added_normalized: Added,
    pub(crate) normalizer: Option<Normalizer>,
    pub(crate) model: Model,
    /// Ids put before and after a plain text by [`Tokenizer::frame`].
    pub(crate) prefix: Vec<u32>,
    pub(crate) suffix: Vec<u32>,
    /// Whether a text's first piece carries a space that was never in the text.
    pub(crate) leading_space: bool,
    pub(crate) roles: Roles,
}

impl Tokenizer {
    /// The tokenizer of a checkpoint: a GGUF file's own, or `tokenizer.json` (with
    /// `tokenizer_config.json` where present) beside the safetensors.
    pub fn from_checkpoint(checkpoint: &tessera_formats::Checkpoint) -> Result<Self> {
        match checkpoint.gguf() {
            Some(gguf) => Self::from_gguf(&gguf.metadata),
            None => Self::from_folder(checkpoint.path()),
        }
    }

    /// The tokenizer of a folder that holds a `tokenizer.json`.
    pub fn from_folder(folder: &Path) -> Result<Self> {
        crate::json::open(folder)
    }

    /// A tokenizer from the bytes of a `tokenizer.json`; `origin` names them in errors.
    ///
    /// Fails on JSON nested or grown past the limits, on merge rules, patterns or added tokens that
    /// cannot be right, and on parts this crate does not implement.
    pub fn from_json(bytes: &[u8], origin: &str) -> Result<Self> {
        crate::json::parse(bytes, origin)
    }

    /// A tokenizer rebuilt from the `tokenizer.ggml.*` metadata of a GGUF file.
    ///
    /// Fails, naming the value, on a kind of tokenizer or pre-tokenizer this crate does not know and
    /// on lists whose lengths disagree.
    pub fn from_gguf(metadata: &tessera_formats::gguf::Metadata) -> Result<Self> {
        crate::gguf::build(metadata)
    }

    /// The ids of `text`, without any that begin or end a text (see [`Tokenizer::frame`]).
    pub fn encode(&self, text: &str, specials: Specials) -> Result<Vec<u32>> {
        self.encode_where(text, |_, _| specials == Specials::Parse)
    }

    /// The ids of a rendered conversation: control tokens that the template wrote are tokens, the same
    /// text in what a user wrote stays text.
    pub fn encode_prompt(&self, prompt: &Prompt) -> Result<Vec<u32>> {
        self.encode_where(prompt.text(), |start, end| prompt.is_whole(start, end))
    }

    /// Puts the ids that begin and end a plain text around `ids`, as the tokenizer's files ask. Not
    /// for conversations: their template writes these itself.
    pub fn frame(&self, ids: &[u32]) -> Vec<u32> {
        [&self.prefix, ids, &self.suffix].concat()
    }

    fn encode_where(&self, text: &str, allow: impl Fn(usize, usize) -> bool) -> Result<Vec<u32>> {
        if text.len() > MAX_TEXT {
            return Err(Error::TooLarge {
                origin: "tokenizer".into(),
                what: "the text, in bytes,",
                value: text.len() as u64,
                limit: MAX_TEXT as u64,
            });
        }
        let mut out = Vec::with_capacity(text.len() / 3 + 8);
        let mut merger = Merger::default();
        for span in self.added.split(text, allow) {
            match span {
                Span::Token(id) => out.push(id),
                Span::Text(range) => {
                    let first = range.start == 0;
                    self.encode_text(&text[range], first, &mut merger, &mut out)?;
                }
            }
        }
        Ok(out)
    }

    /// Encodes a stretch between added tokens: normalises it, splits off what matches only then, and
    /// hands the rest to the model.
    fn encode_text(
        &self,
        text: &str,
        first: bool,
        merger: &mut Merger,
        out: &mut Vec<u32>,
    ) -> Result<()> {
        let text = match &self.normalizer {
            Some(normalizer) => normalizer.apply(text)?,
            None => Cow::Borrowed(text),
        };
        if self.added_normalized.is_empty() {
            return self.model.encode(&self.vocab, merger, &text, first, out);
        }
        for span in self.added_normalized.split(&text, |_, _| false) {
            match span {
                Span::Token(id) => out.push(id),
                Span::Text(range) => {
                    let first = first && range.start == 0;
                    self.model.encode(&self.vocab, merger, &text[range], first, out)?;
                }
            }
        }
        Ok(())
    }

    /// The text of `ids`, control tokens left out. Bytes that are no UTF-8 become U+FFFD; ids beyond
    /// the vocabulary count as nothing.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.decode_with(ids, Specials::AsText)
    }

    /// [`Tokenizer::decode`], with control tokens shown when `specials` is [`Specials::Parse`].
    pub fn decode_with(&self, ids: &[u32], specials: Specials) -> String {
        let mut detokenizer = crate::Detokenizer::new(self).specials(specials);
        let mut text = String::new();
        ids.iter().for_each(|id| detokenizer.push_into(*id, &mut text));
        text + &detokenizer.finish()
    }

    /// The bytes `id` stands for; a control token's are its text. They need not be whole characters.
    pub fn piece(&self, id: u32) -> Result<&[u8]> {
        self.pieces.get(id as usize).ok_or(Error::UnknownId { id, size: self.vocab_size() })
    }

    /// Number of ids, padding entries included. A model's output may be wider than this.
    pub fn vocab_size(&self) -> usize {
        self.vocab.len()
    }

    /// The id whose token is spelt exactly `token` in the vocabulary (`Ġthe`, `▁the`, `<|im_end|>`).
    pub fn id(&self, token: &str) -> Option<u32> {
        self.vocab.id(token)
    }

    /// How the vocabulary spells `id`.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.vocab.text(id)
    }

    /// What `id` is for.
    pub fn kind(&self, id: u32) -> Kind {
        self.vocab.kind(id)
    }

    /// Control tokens in order of id, with their text.
    pub fn specials(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..self.vocab.len() as u32)
            .filter(|id| self.vocab.kind(*id) == Kind::Special)
            .filter_map(|id| Some((id, self.vocab.text(id)?)))
    }

    /// The texts that stand for a control token when parsed, with their ids.
    pub(crate) fn controls(&self) -> impl Iterator<Item = (u32, &str)> {
        (0..self.vocab.len() as u32)
            .filter(|id| matches!(self.vocab.kind(*id), Kind::Special | Kind::Unknown))
            .filter_map(|id| Some((id, self.vocab.text(id)?)))
    }

    /// Ids with a role.
    pub fn roles(&self) -> Roles {
        self.roles
    }

    /// Whether the first piece of a text carries a space that is not the text's own.
    pub(crate) fn has_leading_space(&self) -> bool {
        self.leading_space
    }
}

impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("roles", &self.roles)
            .finish_non_exhaustive()
    }
}
